"""ꟻLIP against the authors' own program, and what a loop needs of it: finite gradients, and zero for equal pictures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from velatura.errors import ContractError
from velatura.perception.flip import PPD, Flip, flip, flip_map, pixels_per_degree
from velatura.perception.pixels import blurred

Change = Callable[[Tensor], Tensor]


def noisy(x: Tensor, levels: float) -> Tensor:
    """``x`` with white noise of so many levels of 255."""
    return (x + levels / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)


def tinted(x: Tensor) -> Tensor:
    return (x * torch.tensor([1.0, 0.9, 0.8]).view(1, 3, 1, 1) + 0.02).clamp(0, 1)


def half_darker(x: Tensor) -> Tensor:
    return torch.where(torch.arange(x.shape[-1]) > x.shape[-1] // 2, x, 0.7 * x)


CHANGES: dict[str, Change] = {
    "equal": lambda x: x,
    "noise of 0.3": lambda x: noisy(x, 0.3),
    "noise of 2": lambda x: noisy(x, 2),
    "noise of 8": lambda x: noisy(x, 8),
    "noise of 50": lambda x: noisy(x, 50),
    "blur": lambda x: blurred(x, 2.0),
    "colour": tinted,
    "edge": half_darker,
    "moved": lambda x: x.roll((2, -1), (2, 3)),
    "negative": lambda x: 1 - x,
    "black": torch.zeros_like,
    "white": torch.ones_like,
}


def theirs(a: Tensor, b: Tensor, ppd: float) -> tuple[Tensor, float]:
    evaluator = pytest.importorskip("flip_evaluator", reason="the authors' ꟻLIP is missing: pip install flip-evaluator")
    arrays = (x[0].permute(1, 2, 0).contiguous().numpy() for x in (a, b))
    errors, mean, _ = evaluator.evaluate(*arrays, "LDR", applyMagma=False, parameters={"ppd": ppd})
    return torch.from_numpy(errors)[..., 0], float(mean)


@pytest.mark.parametrize("size", [(128, 128), (97, 131), (23, 40)], ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_it_is_the_authors(make_scene: Callable[..., Tensor], change: str, size: tuple[int, int]) -> None:
    a = make_scene(*size)
    b = CHANGES[change](a)
    expected, mean = theirs(a, b, PPD)
    assert float(flip(a, b)) == pytest.approx(mean, abs=1e-4)
    assert (flip_map(a, b)[0, 0] - expected).abs().max() < 1e-3


@pytest.mark.parametrize("ppd", [25.0, 110.0])
def test_it_is_the_authors_from_other_distances(make_scene: Callable[..., Tensor], ppd: float) -> None:
    a = make_scene(90, 75)
    b = noisy(a, 8)
    assert float(flip(a, b, ppd)) == pytest.approx(theirs(a, b, ppd)[1], abs=1e-4)


def test_their_distance_is_ours(make_scene: Callable[..., Tensor]) -> None:
    evaluator = pytest.importorskip("flip_evaluator", reason="the authors' ꟻLIP is missing: pip install flip-evaluator")
    array = make_scene(16, 16)[0].permute(1, 2, 0).contiguous().numpy()
    assert evaluator.evaluate(array, array, "LDR")[2]["ppd"] == pytest.approx(PPD, abs=1e-3)
    assert pytest.approx(67.02, abs=0.01) == PPD
    assert pixels_per_degree(1.4, 0.7, 3840) == pytest.approx(2 * PPD)


def test_zero_for_equals_and_one_for_the_largest_difference(make_scene: Callable[..., Tensor]) -> None:
    a = make_scene(40, 40)
    assert flip_map(a, a).max() < 1e-6
    green, blue = torch.zeros(2, 1, 3, 8, 8)
    green[:, 1] = blue[:, 2] = 1
    assert float(flip(green, blue)) == pytest.approx(1, abs=1e-3)


def test_more_noise_is_seen_more_and_from_afar_less(make_scene: Callable[..., Tensor]) -> None:
    a = make_scene(64, 64)
    values = [float(flip(a, noisy(a, levels))) for levels in (1, 2, 4, 8, 16)]
    assert values == sorted(values)
    assert values[-1] > 3 * values[0]
    assert flip(a, noisy(a, 8), 2 * PPD) < 0.8 * flip(a, noisy(a, 8))


def test_one_reference_kept_is_the_same(make_scene: Callable[..., Tensor]) -> None:
    a = torch.cat([make_scene(50, 70), make_scene(50, 70, seed=1)])
    b = noisy(a, 6)
    assert torch.equal(Flip(a)(b), flip_map(a, b))
    assert flip(a, b).shape == (2,)
    alone = torch.cat([flip(x[None], y[None]) for x, y in zip(a, b, strict=True)])
    assert torch.allclose(flip(a, b), alone, atol=1e-6)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("start", ["scene", "black", "white", "flat"])
def test_its_gradient_is_finite(make_scene: Callable[..., Tensor], start: str, change: str) -> None:
    a = {"black": torch.zeros(1, 3, 24, 24), "white": torch.ones(1, 3, 24, 24)}.get(start, make_scene(24, 24))
    a = torch.full_like(a, 0.5) if start == "flat" else a
    b = CHANGES[change](a).clone().requires_grad_()
    Flip(a)(b).mean().backward()
    assert b.grad is not None
    assert b.grad.isfinite().all()


def test_its_gradient_is_that_of_differences(make_scene: Callable[..., Tensor]) -> None:
    a = make_scene(30, 26)
    b = (0.8 * a + 0.1).requires_grad_()
    visible = Flip(a)
    visible(b).mean().backward()
    assert b.grad is not None
    with torch.no_grad():
        step = 1e-3 * b.grad.sign()
        change = float(visible(b + step).mean() - visible(b - step).mean())
    assert float(2 * (b.grad * step).sum()) == pytest.approx(change, rel=0.02)


def test_a_step_down_its_gradient_is_seen_less(make_scene: Callable[..., Tensor]) -> None:
    a = make_scene(48, 48)
    b = noisy(a, 8).requires_grad_()
    visible = Flip(a)
    before = visible(b).mean()
    before.backward()
    assert b.grad is not None
    with torch.no_grad():
        assert visible((b - 1e-3 * b.grad.sign()).clamp(0, 1)).mean() < before


def test_other_shapes_and_ranges() -> None:
    a = torch.rand(1, 3, 16, 16)
    with pytest.raises(ContractError, match="one shape"):
        flip(a, a[..., :8])
    with pytest.raises(ContractError, match="shape"):
        Flip(a)(a[..., :8])
    with pytest.raises(ContractError, match=r"\[0, 1\]"):
        flip(a, 255 * a)
