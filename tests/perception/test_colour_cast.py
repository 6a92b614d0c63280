"""The colour cast: what is seen from afar, in units that eyes have."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pyvips
import torch
from torch import Tensor

from velatura.errors import ContractError
from velatura.perception.color_difference import cells, colour_cast, delta_e, lab


def test_lab_is_that_of_libvips() -> None:
    srgb = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    image = pyvips.Image.new_from_array(
        (srgb[0].permute(1, 2, 0) * 65535).round().numpy().astype("uint16"), interpretation="rgb16"
    )
    expected = torch.from_numpy(image.colourspace("lab").numpy().copy()).permute(2, 0, 1)
    assert (lab(linear)[0] - expected).abs().max() < 0.2  # of 100; libvips has another white in the fourth digit


@pytest.mark.parametrize("shift", [(0.01, 0.0, -0.01), (0.02, 0.02, 0.02), (-0.02, 0.01, 0.0)])
def test_of_flat_colours_it_is_about_ciede2000(shift: tuple[float, float, float]) -> None:
    for base in ((0.5, 0.5, 0.5), (0.7, 0.4, 0.3), (0.2, 0.4, 0.6)):
        a = torch.tensor(base).view(1, 3, 1, 1).expand(1, 3, 64, 64).contiguous()
        b = a + torch.tensor(shift).view(1, 3, 1, 1)
        assert 0.5 < float(colour_cast(a, b)) / float(delta_e(a, b).mean()) < 2


def test_noise_has_less_than_its_pixels_and_a_tint_has_all(make_scene: Callable[..., Tensor]) -> None:
    a = make_scene(256, 256)
    noisy = (a + 0.05 * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    tinted = (a + torch.tensor([0.05, 0.0, -0.05]).view(1, 3, 1, 1)).clamp(0, 1)
    assert delta_e(a, noisy).mean() > 3
    assert colour_cast(a, noisy) < 0.75 * delta_e(a, noisy).mean()
    assert colour_cast(a, tinted) > 0.8 * delta_e(a, tinted).mean()
    assert colour_cast(a, a) < 1e-3


def test_a_screen_of_dots_is_seen(make_scene: Callable[..., Tensor]) -> None:
    """Its mean is the picture's own, so nothing shows from afar."""
    a = make_scene(128, 128) * 0.6 + 0.2
    dots = torch.ones(128, 128)
    dots[::2, ::2] = dots[1::2, 1::2] = -1
    screen = a + 0.1 * dots * torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)
    assert colour_cast(a, screen) > 2


def test_it_has_a_gradient_everywhere(make_scene: Callable[..., Tensor]) -> None:
    from velatura.perception.color_difference import cell_difference

    for picture in (make_scene(64, 64), torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)):
        delta = torch.zeros_like(picture, requires_grad=True)
        cell_difference(cells(picture), cells(picture + delta)).sum().backward()
        assert delta.grad is not None
        assert delta.grad.isfinite().all()


def test_tiny_pictures_and_other_shapes() -> None:
    a = torch.rand(2, 3, 8, 24)
    assert colour_cast(a, a.flip(0)).shape == (2,)
    with pytest.raises(ContractError, match="one shape"):
        colour_cast(a, a[..., :8])
