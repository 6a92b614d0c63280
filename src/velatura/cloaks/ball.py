"""Attacks within an L∞ ball, as most published ones are, with the radius that makes LPIPS meet the budget.

Papers fix the radius. To compare at equal visibility it is found by running the attack anew at each radius of a
bisection: rescaling a finished δ would hand the attack a weaker perturbation than it would have found itself.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from velatura.cloaks.budget import as_8_bit
from velatura.cloaks.cloak import OnStep, Step
from velatura.perception.lpips import load

Gradient = Callable[[Tensor, int], tuple[Tensor, float, float]]
"""Cloaked pictures ``(B, 3, H, W)`` and the step's index to the direction to walk against, loss, latent remaining."""
Attack = Callable[[Tensor, Callable[[Step], None]], Tensor]
"""Radii ``(B,)`` to δ ``(B, 3, H, W)``; the second argument is told each step."""


def bisect(
    pictures: Tensor, attack: Attack, budget: float, *, steps: int, rounds: int, largest: float, on_step: OnStep | None
) -> tuple[Tensor, Tensor]:
    """δ of the largest radius that keeps LPIPS <= ``budget`` after 8-bit rounding, and that radius ``(B,)``.

    ``largest``: the radius to bisect below, in units of the [0, 1] picture. ``steps``: that one attack reports.
    """
    perceptual = load("alex", str(pictures.device))
    with torch.no_grad():
        reference = perceptual.features(pictures)
    low = torch.zeros(len(pictures), device=pictures.device)
    high = torch.full_like(low, largest)
    best = torch.zeros_like(pictures)
    for done in range(rounds):
        radius = (low + high) / 2

        def tell(step: Step, done: int = done) -> None:
            if on_step is not None:
                on_step(
                    Step(done * steps + step.index, rounds * steps, step.loss, step.latent_remaining, step.lpips,
                         step.delta)
                )  # fmt: skip

        delta = attack(radius, tell)
        with torch.no_grad():
            distance = perceptual.compare(reference, perceptual.features(as_8_bit(pictures + delta)))
        inside = distance <= budget
        best = torch.where(inside.view(-1, 1, 1, 1), delta, best)
        low, high = torch.where(inside, radius, low), torch.where(inside, high, radius)
    return best, low


def signed_descent(
    pictures: Tensor,
    gradient: Gradient,
    radius: Tensor,
    steps: int,
    tell: Callable[[Step], None],
    *,
    rate: tuple[float, float],
    start: Tensor | None = None,
) -> Tensor:
    """Projected gradient descent by signs (Madry et al., ICLR 2018): δ within ``radius`` ``(B,)`` and the box.

    ``rate``: the first and the last step, in units of the radius.
    """
    bound = radius.view(-1, 1, 1, 1)
    delta = torch.zeros_like(pictures) if start is None else start
    for index in range(steps):
        direction, loss, remaining = gradient(pictures + delta, index)
        step = bound * (rate[0] + (rate[1] - rate[0]) * index / steps)
        delta = (delta - step * direction.sign()).clamp(-bound, bound)
        delta = (pictures + delta).clamp(0, 1) - pictures
        tell(Step(index + 1, steps, loss, remaining, float("nan"), delta))
    return delta
