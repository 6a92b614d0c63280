"""StyleGuard's style loss (Li et al., NeurIPS 2025): means and variances of latents, not the latents themselves.

Where a picture's statistics are, its style is, wherever things stand in it (Huang & Belongie 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.cloaks.cloak import Cloak, OnStep, goals
from velatura.cloaks.linf import LinfSettings, linf_cloak, towards
from velatura.diffusion.extractors import Extractor


@dataclass(frozen=True)
class StyleGuardSettings(LinfSettings):
    """budget: LPIPS to reach. steps: of PGD at each radius. rounds: of bisection over the radius.

    away: weight of moving away from the clean picture's statistics beside moving to the target's. The paper fixes the
    radius (its 0.05 on [-1, 1] is 6.4/255 here), moves by a tenth of it, and weighs both alike.
    """

    away: float = 1.0


def styleguard(
    pictures: Tensor,
    targets: Tensor,
    *,
    extractors: Sequence[Extractor],
    settings: StyleGuardSettings,
    on_step: OnStep | None = None,
) -> Cloak:
    """min over ‖δ‖∞ ≤ r of d(Φ(x+δ), Φ(t)) − w·d(Φ(x+δ), Φ(x)), d(a, b) = ‖μ(a)−μ(b)‖² + ‖σ²(a)−σ²(b)‖².

    μ and σ² are of each latent channel over a picture's places (the authors' code pools them over a batch). Relative to
    the clean picture's distance; r the largest radius that keeps LPIPS ≤ p after 8-bit rounding. The paper adds the
    denoising loss of a fine-tuned surrogate and of diffusion upscalers: :mod:`velatura.cloaks.aspl` has the first.
    """
    looked = goals(extractors, pictures, targets)
    with torch.no_grad():
        aims = [(goal, Moments(goal.encode(pictures), goal.features, goal.extractor)) for goal in looked]

    def objective(cloaked: Tensor) -> tuple[Tensor, Tensor]:
        seen = [(goal, aim, goal.encode(cloaked)) for goal, aim in aims]
        wanted = [aim.left(z) - settings.away * aim.moved(z) for _, aim, z in seen]
        return torch.stack(wanted).mean(0), torch.stack([goal.left(z) for goal, _, z in seen]).mean(0)

    return linf_cloak("styleguard", pictures, towards(objective), settings, (0.1, 0.1), on_step)


class Moments:
    """Where the means and variances of latents have to go, from those of ``clean`` latents to those of ``target``.

    Of latents as the diffusion model has them, scaled: a mean grows with the scale, a variance with its square.
    """

    def __init__(self, clean: Tensor, target: Tensor, extractor: Extractor) -> None:
        self.extractor = extractor
        self.clean, self.target = self._moments(clean), self._moments(target)
        self.initial = (self.clean - self.target).pow(2).sum(1).clamp_min(1e-8)

    def left(self, latents: Tensor) -> Tensor:
        """``(B,)`` of latents: 1 for the clean picture's statistics, 0 for the target's. Differentiable."""
        return (self._moments(latents) - self.target).pow(2).sum(1) / self.initial

    def moved(self, latents: Tensor) -> Tensor:
        """``(B,)`` of latents: 0 for the clean picture's statistics, 1 as far from them as the target's."""
        return (self._moments(latents) - self.clean).pow(2).sum(1) / self.initial

    def _moments(self, latents: Tensor) -> Tensor:
        """Mean and variance of each channel over places: ``(B, C, h, w)`` to ``(B, 2C)``."""
        scaled = (latents - self.extractor.shift_factor) * self.extractor.scaling_factor
        return torch.cat([scaled.mean((2, 3)), scaled.var((2, 3))], 1)
