"""Pooling and resizing by matrices, as Apple's GPUs have them, against torch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.perception import resampling

OPERATIONS: list[tuple[Callable[[int, int], Tensor], Callable[..., Tensor], Callable[..., Tensor]]] = [
    (resampling.pooling, resampling.pooled, F.adaptive_avg_pool2d),
    (
        resampling.resizing,
        resampling.resized,
        lambda x, size: F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False),
    ),
]


@pytest.mark.parametrize("size", [(32, 43), (7, 5), (1, 1), (96, 128), (130, 90)])
@pytest.mark.parametrize(("matrix", "function", "torchs"), OPERATIONS)
def test_matrices_do_what_torch_does(
    matrix: Callable[[int, int], Tensor],
    function: Callable[..., Tensor],
    torchs: Callable[..., Tensor],
    size: tuple[int, int],
) -> None:
    """Also where sizes do not divide, and with the same gradient; off Apple's GPUs torch's own is what runs."""
    x = torch.rand(2, 3, 96, 130, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = resampling.by_matrices(x, matrix(96, size[0]), matrix(130, size[1]))
    expected = torchs(x, size)
    assert torch.allclose(found, expected, atol=2e-6)
    weight = torch.rand(expected.shape, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (found, expected)]
    assert torch.allclose(*gradients, atol=2e-5)
    assert torch.equal(function(x, size), expected)


@pytest.mark.parametrize(("matrix", "function", "torchs"), OPERATIONS)
def test_devices_without_kernels_take_the_matrices(
    matrix: Callable[[int, int], Tensor],
    function: Callable[..., Tensor],
    torchs: Callable[..., Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resampling, "WITHOUT_KERNELS", ("cpu",))
    x = torch.rand(1, 3, 20, 30)
    assert torch.equal(function(x, (7, 9)), resampling.by_matrices(x, matrix(20, 7), matrix(30, 9)))
