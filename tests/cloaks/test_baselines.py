"""Published cloaks: each does what its paper says, within an L∞ ball that is as large as LPIPS allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from velatura.cloaks import (
    ApplicationSettings,
    ASPLSettings,
    NoiseSettings,
    StyleGuardSettings,
    application,
    aspl,
    noise,
    styleguard,
)
from velatura.cloaks.budget import as_8_bit
from velatura.cloaks.cloak import goals
from velatura.cloaks.linf import bisect
from velatura.cloaks.styleguard import Moments
from velatura.diffusion import denoising, extractors, pipeline
from velatura.diffusion.extractors import Extractor
from velatura.errors import InputError
from velatura.perception.lpips import lpips


@pytest.fixture(scope="module")
def mini() -> Extractor:
    return extractors.load("mini")


@pytest.fixture(scope="module")
def model() -> Any:
    return pipeline.load("mini")


@pytest.fixture
def pictures(make_scene: Callable[..., Tensor]) -> Tensor:
    return torch.cat([make_scene(96, 128, seed) for seed in (1, 2)])


@pytest.fixture
def targets(make_scene: Callable[..., Tensor]) -> Tensor:
    return torch.cat([make_scene(96, 128, seed) for seed in (11, 12)])


def test_styleguard_moves_the_statistics_further_than_the_latents(
    pictures: Tensor, targets: Tensor, mini: Extractor
) -> None:
    (goal,) = goals([mini], pictures, targets)
    aim = Moments(goal.encode(pictures), goal.features, mini)

    def left(delta: Tensor) -> tuple[float, float]:
        with torch.no_grad():
            latents = goal.encode(pictures + delta)
            return float(aim.left(latents).mean()), float(goal.left(latents).mean())

    found = styleguard(pictures, targets, extractors=[mini], settings=StyleGuardSettings(0.05, steps=10, rounds=4))
    pulled = application(pictures, targets, extractors=[mini], settings=ApplicationSettings(0.05, steps=10, rounds=4))
    statistics, latents = left(found.delta)
    assert statistics < 0.8
    assert statistics < left(pulled.delta)[0]
    assert latents > left(pulled.delta)[1]


def test_the_application_stays_in_its_ball_and_moves(pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    (goal,) = goals([mini], pictures, targets)
    found = application(pictures, targets, extractors=[mini], settings=ApplicationSettings(0.05, steps=10, rounds=5))
    assert float(goal.remaining(pictures + found.delta).mean()) < 0.95
    largest = found.delta.abs().amax((1, 2, 3)) * 255
    # The mean of two radii is what is noted.
    assert float(largest.mean()) == pytest.approx(found.notes["radius_255"], abs=0.01)


def test_the_radius_grows_as_far_as_the_budget_allows(make_scene: Callable[..., Tensor]) -> None:
    pictures = [make_scene(64, 64, 1), make_scene(64, 64, 2)]
    tried: list[list[float]] = []

    def make(radius: Tensor, tell: object) -> list[Tensor]:
        tried.append((radius * 255).tolist())
        return [r * torch.sign(torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))
                for r, x in zip(radius, pictures, strict=True)]  # fmt: skip

    _, radii = bisect(pictures, make, 0.5, steps=1, rounds=7, first=2 / 255, on_step=None)
    assert tried[0] == pytest.approx([2, 2])
    assert tried[1] == pytest.approx([4, 4]), "doubled until it is too much"
    assert all(float(r) * 255 > 16 for r in radii)
    _, least = bisect(pictures, make, 1e-5, steps=1, rounds=4, first=2 / 255, on_step=None)
    assert all(float(r) * 255 < 1 for r in least)
    for delta, x in zip(
        bisect(pictures, make, 0.1, steps=1, rounds=9, first=2 / 255, on_step=None)[0], pictures, strict=True
    ):
        assert 0.08 < float(lpips(x, as_8_bit(x + delta))) <= 0.1


def test_aspl_raises_the_loss_more_than_noise_and_leaves_the_model_alone(model: Any, pictures: Tensor) -> None:
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    works = [pictures[:1, :, :64, :64], pictures[1:, :, :64, :96]]  # a body of work in several sizes
    settings = ASPLSettings(0.002, turns=2, learn=1, attack=4, rate=1e-4, rounds=3, first_radius=2 / 255)
    made = aspl(works, pipeline=model, settings=settings)
    rises = []
    for x, cloak in zip(works, made, strict=True):
        assert cloak.delta.shape == x.shape
        assert 0.0005 < float(lpips(x, as_8_bit(x + cloak.delta))) <= 0.002 + 1e-6
        control = noise(x, settings=NoiseSettings(0.002)).delta
        clean, noisy, cloaked = (_error(model, x + d) for d in (torch.zeros_like(x), control, cloak.delta))
        rises.append((cloaked - clean, noisy - clean))
    assert sum(cloaked for cloaked, _ in rises) > 2 * abs(sum(noisy for _, noisy in rises))
    assert all(torch.equal(value, before[name]) for name, value in model.unet.state_dict().items())
    short = replace(settings, budget=1.0, turns=1, rounds=1)
    first, second = (aspl(works[:1], pipeline=model, settings=short)[0].delta for _ in range(2))
    assert first.abs().max() > 0
    assert torch.equal(first, second)
    with pytest.raises(InputError, match="one picture or more"):
        aspl([], pipeline=model, settings=settings)


def _error(model: Any, picture: Tensor) -> float:
    """Mean denoising loss of the model as it is, over times and noises that no cloak has drawn."""
    scheduler, states = denoising.training_scheduler(model), denoising.context(model, ["a"])
    losses = []
    for seed in range(12):
        generator = torch.Generator().manual_seed(10**9 + seed)
        with torch.no_grad():
            latents = denoising.encode(model.vae, picture, generator)
            losses.append(denoising.loss(model.unet, scheduler, latents, states, generator=generator))
    return float(torch.stack(losses).mean())
