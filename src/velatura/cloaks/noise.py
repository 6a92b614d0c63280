"""Gaussian noise brought to the budget: the first control arm. A cloak that does no better is no cloak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.cloaks.budget import fit
from velatura.cloaks.cloak import Cloak, OnStep
from velatura.diffusion.extractors import Extractor
from velatura.images.contract import check_pictures


@dataclass(frozen=True)
class NoiseSettings:
    """budget: LPIPS to reach. seed: of the noise."""

    budget: float = 0.05
    seed: int = 0


def noise(
    pictures: Tensor,
    targets: Tensor | None = None,
    *,
    extractors: Sequence[Extractor] = (),
    settings: NoiseSettings,
    on_step: OnStep | None = None,
) -> Cloak:
    """White Gaussian noise, scaled until LPIPS(x, x+δ) = p after 8-bit rounding. Takes no notice of the targets."""
    check_pictures(pictures, "pictures")
    generator = torch.Generator().manual_seed(settings.seed)
    direction = torch.randn(pictures.shape, generator=generator).to(pictures.device)
    return Cloak(fit(pictures, direction, settings.budget, upper=0.25, rounds=11), "noise", 0)
