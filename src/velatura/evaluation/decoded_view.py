"""The laboratory's figures of a protected picture in one model's eyes: latent distance, decoded view (VGG16)."""

from __future__ import annotations

import torch
from torch import Tensor

from velatura.cloaks import NoiseSettings, noise
from velatura.cloaks.cloak import Goal
from velatura.diffusion.extractors import Extractor
from velatura.perception import lpips
from velatura.perception.style import style, style_change
from velatura.protection.views import squares


@torch.no_grad()
def decoded_view(
    extractor: Extractor, original: Tensor, saved: Tensor, target: Tensor, budget: float, seed: int
) -> dict[str, float]:
    """Latent distance and decoded view of the saved picture, beside random noise of LPIPS ``budget``.

    ``view_change``: how far the style of the decoded view has changed (``perception.style``). Measured in fp32 whatever
    the optimiser used; a long picture in squares along its length, figures averaged.
    """
    random = (original + noise(original, settings=NoiseSettings(budget, seed)).delta).clamp(0, 1)
    fast, extractor.precision = extractor.precision, "fp32"
    try:
        seen = [
            _figures(extractor, *(x[..., rows, columns] for x in (original, saved, random, target)))
            for rows, columns in squares(original)
        ]
    finally:
        extractor.precision = fast
    return {key: sum(figures[key] for figures in seen) / len(seen) for key in seen[0]}


def _figures(extractor: Extractor, original: Tensor, saved: Tensor, random: Tensor, target: Tensor) -> dict[str, float]:
    judge = lpips.load("vgg", str(original.device))
    goal = Goal(extractor, original, target)
    goal_view = judge.features(extractor.decode(goal.features))
    seen = {name: extractor.view(x) for name, x in (("clean", original), ("saved", saved), ("noise", random))}
    styles = {name: style(view) for name, view in seen.items()}
    apart = {name: float(judge.compare(judge.features(view), goal_view)) for name, view in seen.items()}
    clean = max(apart["clean"], 1e-6)
    far, remaining = float(goal.initial.sum().sqrt()), float(goal.remaining(saved))
    return {
        "latent_distance_before": far,
        "latent_distance_after": far * remaining**0.5,
        "latent_remaining": remaining,
        "latent_remaining_noise": float(goal.remaining(random)),
        "view_to_target_before": apart["clean"],
        "view_to_target_after": apart["saved"],
        "decoded_shift": 1 - apart["saved"] / clean,
        "decoded_shift_noise": 1 - apart["noise"] / clean,
        "view_change": float(style_change(styles["clean"], styles["saved"])),
        "view_change_noise": float(style_change(styles["clean"], styles["noise"])),
    }
