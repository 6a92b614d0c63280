"""PhotoGuard's encoder attack (Salman et al., ICML 2023, eq. 4): projected gradient descent within an L∞ ball."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.cloaks.ball import bisect, signed_descent, towards
from velatura.cloaks.cloak import Cloak, OnStep, Step, goals, latent
from velatura.diffusion.extractors import Extractor


@dataclass(frozen=True)
class PhotoGuardSettings:
    """budget: LPIPS to reach. steps: of PGD at each radius. rounds: of bisection over the radius.

    The paper fixes the radius (its 0.06 on [-1, 1] is 7.7/255 here) and takes 200 steps.
    """

    budget: float = 0.05
    steps: int = 200
    rounds: int = 6
    largest_radius: float = 32 / 255


def photoguard(
    pictures: Tensor,
    targets: Tensor,
    *,
    extractors: Sequence[Extractor],
    settings: PhotoGuardSettings,
    on_step: OnStep | None = None,
) -> Cloak:
    """min over ‖δ‖∞ ≤ r of ‖Φ(t) − Φ(x+δ)‖², r the largest radius that keeps LPIPS ≤ p after 8-bit rounding.

    The paper's target is a grey picture or a chosen one; here it is Ω(x,T), as for every method.
    """
    gradient = towards(latent(goals(extractors, pictures, targets)))

    def attack(radius: Tensor, tell: Callable[[Step], None]) -> Sequence[Tensor]:
        # The step shrinks from r/5 to r/100, as in the authors' code.
        return torch.split(signed_descent(pictures, gradient, radius, settings.steps, tell, rate=(0.2, 0.01)), 1)

    deltas, radius = bisect(
        torch.split(pictures, 1), attack, settings.budget, steps=settings.steps, rounds=settings.rounds,
        largest=settings.largest_radius, on_step=on_step,
    )  # fmt: skip
    steps = settings.rounds * settings.steps
    return Cloak(torch.cat(deltas), "photoguard", steps, {"radius_255": float(radius.mean() * 255)})
