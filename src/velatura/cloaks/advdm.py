"""AdvDM and Mist: make pictures hard to learn for the diffusion model itself, through its denoising loss.

AdvDM (Liang et al., ICML 2023, eq. 6): maximise the loss. Mist (Liang & Wu 2023, eq. 4): also pull Φ(x+δ) to a texture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from velatura.cloaks.cloak import Cloak, OnStep, goals, mean_remaining
from velatura.cloaks.linf import LinfSettings, linf_cloak
from velatura.diffusion import denoising
from velatura.diffusion.extractors import Extractor

# Mist's loss is the sum of squared distances of SD's latents (4 x 64 x 64 at 512 px) less 10⁴ times the mean error: of
# mean distances, so that pictures of any size weigh both terms alike.
MIST = 4 * 64 * 64 / 1e4


@dataclass(frozen=True)
class AdvDMSettings(LinfSettings):
    """budget: LPIPS to reach. steps: of PGD at each radius (both papers: 100). rounds: of bisection over the radius.

    texture: weight of the textural term, 0 for AdvDM, 1 for Mist. draws: times and noises a step; the loss is their
    mean.
    """

    texture: float = 0.0
    draws: int = 1
    prompt: str = "a painting"
    seed: int = 0


def advdm(
    pictures: Tensor,
    targets: Tensor | None = None,
    *,
    extractors: Sequence[Extractor],
    pipeline: Any,
    settings: AdvDMSettings,
    on_step: OnStep | None = None,
) -> Cloak:
    """max over ‖δ‖∞ ≤ r of E[‖prediction error of z_t‖²] − w·‖Φ(x+δ) − Φ(texture)‖², z = Φ(x+δ), r from LPIPS ≤ p.

    ``pictures``: ``(B, 3, H, W)`` in [0, 1]. ``pipeline``: of :func:`velatura.diffusion.pipeline.load`. The style
    target is not looked at; the texture is :func:`texture`.
    """
    scheduler = denoising.training_scheduler(pipeline)
    with torch.no_grad():
        states = denoising.context(pipeline, [settings.prompt] * len(pictures))
    aims = goals(extractors, pictures, texture(pictures))

    # ``remaining`` is relative to the clean picture's distance, Mist's term is not.
    far = [goal.initial.sum(1) / goal.features[0].numel() * goal.extractor.scaling_factor**2 for goal in aims]
    share = MIST * torch.stack(far).mean(0)

    def gradient(cloaked: Tensor, index: int) -> tuple[Tensor, float, float]:
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + index)
        cloaked.requires_grad_(True)
        losses = []
        for _ in range(settings.draws):
            latents = denoising.encode(pipeline.vae, cloaked, generator)
            losses.append(denoising.loss(pipeline.unet, scheduler, latents, states, generator=generator))
        error = torch.stack(losses).mean(0)
        remaining = mean_remaining(aims, cloaked) if settings.texture else torch.zeros_like(error)
        loss = (settings.texture * share * remaining - error).sum()
        (found,) = torch.autograd.grad(loss, cloaked)
        return found, float(loss.detach()) / len(pictures), float(remaining.detach().mean())

    # Both papers: steps of 1/17 to 1/16 of the radius.
    return linf_cloak("mist" if settings.texture else "advdm", pictures, gradient, settings, (0.06, 0.06), on_step)


def texture(pictures: Tensor) -> Tensor:
    """A periodic pattern of high contrast of the pictures' size, as Mist's target is: rings in squares of 32 px."""
    height, width = pictures.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height) % 32 - 15.5, torch.arange(width) % 32 - 15.5, indexing="ij")
    rings = ((x.square() + y.square()).sqrt() / 4).floor() % 2
    return rings.to(pictures).expand_as(pictures).contiguous()
