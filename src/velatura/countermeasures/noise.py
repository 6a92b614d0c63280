"""Gaussian noise: drowns a small perturbation in a larger one that means nothing (Hönig et al. 2024, σ = 0.05)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.countermeasures.settings import Settings, seed, setting
from velatura.images.contract import check_pictures

# A countermeasure draws from its own streams: the control arm "noise" has drawn with the same seeds (cloaks/noise.py).
OWN_STREAM = 0x5EED_0001


@dataclass(frozen=True)
class NoiseSettings(Settings):
    sigma: float = setting(0.05, "standard deviation, in units of the [0, 1] picture", 0, 1)
    seed: int = seed()


def gaussian_noise(pictures: Tensor, *, settings: NoiseSettings) -> Tensor:
    """White noise added to ``(B, 3, H, W)`` in [0, 1], clipped."""
    check_pictures(pictures)
    return add_noise(pictures, settings.sigma, settings.seed)


def add_noise(pictures: Tensor, sigma: float, seed: int) -> Tensor:
    """``pictures`` plus white noise, clipped to [0, 1]; drawn on the CPU: the same on every device."""
    drawn = [
        torch.randn(picture.shape, generator=torch.Generator().manual_seed((seed + i) ^ OWN_STREAM))
        for i, picture in enumerate(pictures)
    ]
    return (pictures + sigma * torch.stack(drawn).to(pictures)).clamp(0, 1)
