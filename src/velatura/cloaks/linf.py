"""Cloaks within an L∞ ball, as most published ones are, with the radius that makes LPIPS meet the budget.

Papers fix the radius. To compare at equal visibility it is found by running the method anew at each radius of a
bisection: rescaling a finished δ would hand the method a weaker perturbation than it would have found itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from velatura.cloaks.budget import as_8_bit
from velatura.cloaks.cloak import Cloak, Objective, OnStep, Step
from velatura.perception.lpips import load

Gradient = Callable[[Tensor, int], tuple[Tensor, float, float]]
"""Cloaked pictures ``(B, 3, H, W)`` and the step's index to the direction to walk against, loss, latent remaining."""
Make = Callable[[Tensor, Callable[[Step], None]], Sequence[Tensor]]
"""Radii ``(N,)`` to one δ ``(1, 3, h, w)`` a picture; the second argument is told each step."""


@dataclass(frozen=True)
class LinfSettings:
    """budget: LPIPS to reach. steps: of signed gradients at each radius. rounds: radii that are tried.

    first_radius: the first of them, in units of the [0, 1] picture; it is doubled as long as the budget allows more.
    """

    budget: float = 0.05
    steps: int = 100
    rounds: int = 6
    first_radius: float = 8 / 255


def bisect(
    pictures: Sequence[Tensor],
    make: Make,
    budget: float,
    *,
    steps: int,
    rounds: int,
    first: float,
    on_step: OnStep | None,
) -> tuple[list[Tensor], Tensor]:
    """For each of N pictures ``(1, 3, h, w)`` δ of the largest radius that keeps LPIPS <= ``budget`` after 8-bit
    rounding, and those radii ``(N,)``.

    ``first``: the radius to begin with, in units of the [0, 1] picture; doubled until LPIPS exceeds the budget, then
    bisected. ``steps``: that one run of ``make`` reports.
    """
    perceptual = load("alex", str(pictures[0].device))
    with torch.no_grad():
        references = [perceptual.features(x) for x in pictures]
    low = torch.zeros(len(pictures), device=pictures[0].device)
    high = torch.full_like(low, float("inf"))
    radius = torch.full_like(low, first)
    best = [torch.zeros_like(x) for x in pictures]
    for done in range(rounds):

        def tell(step: Step, done: int = done) -> None:
            if on_step is not None:
                on_step(replace(step, index=done * steps + step.index, total=rounds * steps))

        for i, delta in enumerate(make(radius, tell)):
            with torch.no_grad():
                seen = perceptual.features(as_8_bit(pictures[i] + delta))
                distance = perceptual.compare(references[i], seen)
            if float(distance) <= budget:
                best[i], low[i] = delta, radius[i]
            else:
                high[i] = radius[i]
        radius = torch.where(high.isinf(), 2 * low, (low + high) / 2).clamp_max(1)
    return best, low


def towards(objective: Objective) -> Gradient:
    """The gradient of what is to become small."""

    def gradient(cloaked: Tensor, index: int) -> tuple[Tensor, float, float]:
        wanted, remaining = objective(cloaked.requires_grad_(True))
        (found,) = torch.autograd.grad(wanted.sum(), cloaked)
        return found, float(wanted.detach().mean()), float(remaining.detach().mean())

    return gradient


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


def linf_cloak(
    method: str,
    pictures: Tensor,
    gradient: Gradient,
    settings: LinfSettings,
    rate: tuple[float, float],
    on_step: OnStep | None,
    seed: int | None = None,
) -> Cloak:
    """:func:`signed_descent` of a batch ``(B, 3, H, W)``, each picture within the largest radius of its budget.

    ``seed``: start from a random place in the ball instead of from the picture.
    """

    def make(radius: Tensor, tell: Callable[[Step], None]) -> Sequence[Tensor]:
        start = None
        if seed is not None:
            spread = 2 * torch.rand(pictures.shape, generator=torch.Generator().manual_seed(seed)) - 1
            start = spread.to(pictures) * radius.view(-1, 1, 1, 1)
            start = (pictures + start).clamp(0, 1) - pictures
        made = signed_descent(pictures, gradient, radius, settings.steps, tell, rate=rate, start=start)
        return torch.split(made, 1)

    counts = {"steps": settings.steps, "rounds": settings.rounds}
    whole = torch.split(pictures, 1)
    deltas, radius = bisect(whole, make, settings.budget, **counts, first=settings.first_radius, on_step=on_step)
    notes = {"radius_255": float(radius.mean() * 255)}
    return Cloak(torch.cat(deltas), method, settings.rounds * settings.steps, notes)
