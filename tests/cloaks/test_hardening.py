"""Hardening: what a cloak is made under, it survives better; the stand-ins behave as the real countermeasures do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from velatura.cloaks import DecodedSettings, decoded
from velatura.cloaks.cloak import Objective
from velatura.cloaks.expectation import Transform, expected
from velatura.countermeasures import differentiable
from velatura.countermeasures.compression import JpegSettings, jpeg
from velatura.diffusion import extractors
from velatura.errors import InputError
from velatura.evaluation.methods import DIFFERENTIABLE
from velatura.perception.lpips import lpips
from velatura.perception.pixels import blurred

SETTINGS = DecodedSettings(0.1, alpha=8, steps=25, learning_rate=0.02, decay=True, beta2=0.9)


@pytest.mark.parametrize("quality", [30, 75, 92])
@pytest.mark.parametrize("size", [(64, 96), (60, 70)])
def test_jpeg_is_nearly_libjpegs(make_scene: Callable[..., Tensor], quality: int, size: tuple[int, int]) -> None:
    picture = make_scene(*size, 3)
    ours = differentiable.jpeg_of(picture, quality)
    theirs = jpeg(picture, settings=JpegSettings(quality=quality))
    assert ours.shape == picture.shape
    # They round colours to 8 bits before the transform, and upsample chroma a little differently.
    assert (ours - theirs).abs().mean() < 0.4 * (theirs - picture).abs().mean()


def test_blur_is_opencvs(make_scene: Callable[..., Tensor]) -> None:
    pytest.importorskip("cv2")
    from velatura.countermeasures.smoothing import BlurSettings, gaussian_blur

    picture = make_scene(48, 64, 4)
    theirs = gaussian_blur(picture, settings=BlurSettings(sigma=1.0))
    assert (blurred(picture, 1.0) - theirs).abs().max() < 1e-3


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_flow_and_draws_repeat(name: str, make_scene: Callable[..., Tensor]) -> None:
    function, picture = DIFFERENTIABLE[name], make_scene(48, 64, 5)
    picture.requires_grad_(True)
    first, second, third = (function(picture, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first.shape == picture.shape
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    (found,) = torch.autograd.grad(first.pow(2).sum(), picture)
    assert found.abs().mean() > 1e-3


def test_the_expectation_weighs_the_picture_as_much_as_its_transforms(make_scene: Callable[..., Tensor]) -> None:
    picture, target = make_scene(32, 32, 1), make_scene(32, 32, 2)

    def make(pictures: Tensor, targets: Tensor) -> Objective:
        def objective(cloaked: Tensor) -> tuple[Tensor, Tensor]:
            left = (cloaked - targets).abs().mean((1, 2, 3))
            return left, left

        return objective

    darker = Transform("darker", lambda x, _: x / 2)
    plain = make(picture, target)
    found, remaining = expected(make, picture, target, [darker], draws=1)(picture)
    assert torch.allclose(remaining, plain(picture)[0])
    assert torch.allclose(found, (plain(picture)[0] + plain(picture / 2)[0]) / 2)
    # Where a transform moves the picture, the target goes along: a cloak at its target stays there.
    flip = Transform("flip", lambda x, _: x.flip(-1), moves=True)
    assert float(expected(make, picture, target, [flip], draws=1)(target)[0]) == 0
    with pytest.raises(InputError, match="one transformation"):
        expected(make, picture, target, [])


def test_a_cloak_made_under_blur_survives_it_better(make_scene: Callable[..., Tensor]) -> None:
    mini = extractors.load("mini")
    pictures = torch.cat([make_scene(96, 128, seed) for seed in (1, 2)])
    targets = torch.cat([make_scene(96, 128, seed) for seed in (11, 12)])
    blur = Transform("blur", lambda x, _: blurred(x, 1.0))
    goal = mini.view(targets)

    def left(delta: Tensor) -> float:
        seen = mini.view(blurred(pictures + delta, 1.0).clamp(0, 1))
        return float(lpips(seen, goal).mean())

    settings = replace(SETTINGS, draws=1)
    plain, hard = (
        decoded(pictures, targets, extractors=[mini], settings=settings, transforms=transforms)
        for transforms in ((), (blur,))
    )
    assert (plain.method, hard.method) == ("decoded", "hardened")
    assert left(hard.delta) < 0.97 * left(plain.delta)
