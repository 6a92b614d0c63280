"""Cloaks through the denoising loss: it grows (AdvDM), the latents near the texture (Mist), the budget is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from velatura.cloaks import AdvDMSettings, NoiseSettings, advdm, noise
from velatura.cloaks.advdm import texture
from velatura.cloaks.budget import as_8_bit
from velatura.cloaks.cloak import goals
from velatura.diffusion import denoising, extractors, pipeline
from velatura.diffusion.extractors import Extractor
from velatura.perception.lpips import lpips

SETTINGS = AdvDMSettings(0.002, steps=6, rounds=5)  # so few steps fill no ball: the budget must be small


@pytest.fixture(scope="module")
def model() -> Any:
    return pipeline.load("mini")  # a random network's error hardly depends on the picture


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return extractors.load("mini")


@pytest.fixture
def pictures(make_scene) -> Tensor:
    return torch.cat([make_scene(64, 64, seed) for seed in (1, 2)])


def error(model: Any, pictures: Tensor) -> float:
    """Mean denoising loss over a fixed set of times and noises that no cloak has drawn."""
    scheduler, states = denoising.training_scheduler(model), denoising.context(model, ["a"] * len(pictures))
    losses = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(10**9 + seed)
        with torch.no_grad():
            latents = denoising.encode(model.vae, pictures, generator)
            losses.append(denoising.loss(model.unet, scheduler, latents, states, generator=generator).mean())
    return float(torch.stack(losses).mean())


def test_advdm_raises_the_loss_more_than_noise_of_equal_budget(
    model: Any, extractor: Extractor, pictures: Tensor
) -> None:
    cloak = advdm(pictures, extractors=[extractor], pipeline=model, settings=SETTINGS)
    control = noise(pictures, settings=NoiseSettings(0.002)).delta
    clean, noisy, cloaked = (error(model, pictures + d) for d in (torch.zeros_like(control), control, cloak.delta))
    assert cloaked - clean > 2 * abs(noisy - clean)
    distance = lpips(pictures, as_8_bit(pictures + cloak.delta))
    assert (distance <= 0.002 + 1e-6).all()
    assert (distance > 0.001).all()


def test_mist_also_nears_the_texture_and_repeats_itself(model: Any, extractor: Extractor, pictures: Tensor) -> None:
    settings = replace(SETTINGS, texture=10.0)
    first, second = (advdm(pictures, extractors=[extractor], pipeline=model, settings=settings) for _ in range(2))
    assert first.method == "mist"
    assert torch.equal(first.delta, second.delta)
    (aim,) = goals([extractor], pictures, texture(pictures))
    assert float(aim.remaining(pictures + first.delta).mean()) < 0.97


def test_the_texture_is_periodic_and_of_high_contrast(pictures: Tensor) -> None:
    pattern = texture(pictures)
    assert pattern.shape == pictures.shape
    assert torch.equal(pattern[..., :32, :32], pattern[..., 32:, 32:])
    assert pattern.std() > 0.4
