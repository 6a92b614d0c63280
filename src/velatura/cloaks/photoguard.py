"""PhotoGuard's encoder attack (Salman et al., ICML 2023, eq. 4): projected gradient descent within an L∞ ball."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.cloaks.budget import as_8_bit
from velatura.cloaks.cloak import Cloak, Goal, OnStep, Step, goals, mean_remaining
from velatura.diffusion.extractors import Extractor
from velatura.perception.lpips import load


@dataclass(frozen=True)
class PhotoGuardSettings:
    """budget: LPIPS to reach. steps: of PGD at each radius. rounds: of bisection over the radius.

    The paper fixes the radius (its 0.06 on [-1, 1] is 7.7/255 here) and takes 200 steps; here the radius is what makes
    LPIPS meet the budget, found by running the attack anew at each radius: rescaling a finished δ would hand the
    attack a weaker perturbation than it would have found itself.
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
    aims = goals(extractors, pictures, targets)
    perceptual = load("alex", str(pictures.device))
    with torch.no_grad():
        reference = perceptual.features(pictures)
    low = torch.zeros(len(pictures), device=pictures.device)
    high = torch.full_like(low, settings.largest_radius)
    best = torch.zeros_like(pictures)
    total = settings.rounds * settings.steps
    for round_ in range(settings.rounds):
        radius = (low + high) / 2
        delta = _descend(pictures, aims, radius, settings.steps, round_ * settings.steps, total, on_step)
        with torch.no_grad():
            distance = perceptual.compare(reference, perceptual.features(as_8_bit(pictures + delta)))
        inside = distance <= settings.budget
        best = torch.where(inside.view(-1, 1, 1, 1), delta, best)
        low, high = torch.where(inside, radius, low), torch.where(inside, high, radius)
    return Cloak(best, "photoguard", total, {"radius_255": float(low.mean() * 255)})


def _descend(
    pictures: Tensor, aims: list[Goal], radius: Tensor, steps: int, done: int, total: int, on_step: OnStep | None
) -> Tensor:
    bound = radius.view(-1, 1, 1, 1)
    delta = torch.zeros_like(pictures)
    for index in range(steps):
        delta.requires_grad_(True)
        remaining = mean_remaining(aims, pictures + delta)
        (gradient,) = torch.autograd.grad(remaining.sum(), delta)
        with torch.no_grad():
            # The step shrinks from r/5 to r/100, as in the authors' code.
            step = bound * (0.2 + (0.01 - 0.2) * index / steps)
            delta = (delta - step * gradient.sign()).clamp(-bound, bound)
            delta = (pictures + delta).clamp(0, 1) - pictures
        if on_step is not None:
            value = float(remaining.detach().mean())
            on_step(Step(done + index + 1, total, value, value, float("nan"), delta))
    return delta
