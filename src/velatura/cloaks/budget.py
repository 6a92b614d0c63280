"""The budgets: LPIPS (AlexNet, v0.1) and ꟻLIP of the 8-bit picture, and the largest δ that keeps them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from velatura.errors import InputError
from velatura.perception.flip import PPD, Flip
from velatura.perception.lpips import LPIPS, load

INTENSITIES = {"low": 0.05, "default": 0.1, "high": 0.2}


def intensity(value: str | float) -> float:
    """LPIPS budget of ``low``, ``default``, ``high`` or a number in [0, 1]."""
    if isinstance(value, str) and value in INTENSITIES:
        return INTENSITIES[value]
    try:
        budget = float(value)
    except ValueError:
        budget = float("nan")
    if not 0 <= budget <= 1:
        raise InputError(f"intensity: expected low, default, high or an LPIPS budget between 0 and 1, got {value!r}")
    return budget


def as_8_bit(pictures: Tensor) -> Tensor:
    """What is left of pictures in [0, 1] once they are saved with 8 bits a channel."""
    return (pictures.clamp(0, 1) * 255).round() / 255


def largest_scale(
    distance: Callable[[Tensor], Tensor],
    budget: float,
    count: int,
    *,
    upper: float = 1.0,
    rounds: int = 12,
    tolerance: float = 0.01,
) -> Tensor:
    """For each of ``count`` pictures the largest s in [0, ``upper``] with ``distance(s)`` <= ``budget``.

    ``distance`` maps scales ``(count,)`` to distances ``(count,)``, growing in s; its device is the scales' device.
    Found within ``tolerance`` of the budget, or after ``rounds``. LPIPS grows about as s², of flat art slower;
    guesses by such a law, and halves in turn, take four evaluations where halves alone take a dozen.
    """
    low, high = torch.zeros(count), torch.full((count,), upper)
    at_low, at_high = torch.full((count,), 1e-9), torch.full((count,), float("inf"))
    scale, done = high.clone(), torch.zeros(count, dtype=torch.bool)
    aim = (1 - tolerance / 2) * budget
    for index in range(rounds + 1):
        found = distance(scale).clamp_min(1e-9)
        inside = found <= budget
        low, at_low = torch.where(inside & ~done, scale, low), torch.where(inside & ~done, found, at_low)
        high, at_high = torch.where(inside | done, high, scale), torch.where(inside | done, at_high, found)
        done |= inside & ((found >= (1 - tolerance) * budget) | (scale >= upper))
        if done.all():
            break
        # The power law through both ends where both are known, else the square; as is, it may near the budget from
        # one side for ever, so every other round halves.
        power = torch.where(low > 0, (at_high / at_low).log() / (high / low.clamp_min(1e-9)).log(), 2.0)
        guess = high * (aim / at_high) ** (1 / power)
        usable = (guess > low) & (guess < high) & (index % 2 == 0)
        half = torch.where(low > 0, (low * high).sqrt(), high / 2)
        scale = torch.where(done, low, torch.where(usable, guess, half))
    return low


@torch.no_grad()
def fit(pictures: Tensor, direction: Tensor, budget: float, *, upper: float = 1.0, rounds: int = 12) -> Tensor:
    """Scale ``direction`` ``(B, 3, H, W)`` so that every picture keeps LPIPS <= ``budget`` after 8-bit rounding.

    ``upper`` = 1 only shrinks (a finished cloak); larger lets it grow (noise brought up to a budget).
    Returns δ with ``pictures + δ`` in [0, 1].
    """
    return within(Budget(pictures, budget), pictures, direction, upper=upper, rounds=rounds)


class Budget:
    """How visible a change is, in units of what is allowed: LPIPS <= ``lpips`` and, where given, mean ꟻLIP <= ``flip``.

    Made once for originals ``(B, 3, H, W)``, since what the networks see of them is the same for every candidate.
    ``ppd``: pixels per degree at which ꟻLIP looks. ``opacity`` ``(B, 1, H, W)``: both are means over what shows.
    """

    def __init__(
        self,
        pictures: Tensor,
        lpips: float,
        flip: float | None = None,
        ppd: float = PPD,
        opacity: Tensor | None = None,
    ) -> None:
        self.most_lpips, self.most_flip, self.opacity = lpips, flip, opacity
        self.network: LPIPS = load("alex", str(pictures.device))
        with torch.no_grad():
            self.features = self.network.features(pictures)
        self.differs = None if flip is None else Flip(pictures, ppd)

    def lpips(self, others: Tensor) -> Tensor:
        """LPIPS of others ``(B, 3, H, W)``, ``(B,)``. Differentiable."""
        return self.network.compare(self.features, self.network.features(others), self.opacity)

    def flip(self, others: Tensor) -> Tensor:
        """Mean ꟻLIP of others, ``(B,)``. Differentiable."""
        assert self.differs is not None
        found = self.differs(others)
        if self.opacity is None:
            return found.mean((1, 2, 3))
        return (found * self.opacity).sum((1, 2, 3)) / self.opacity.sum((1, 2, 3)).clamp_min(1e-6)

    @torch.no_grad()
    def used(self, others: Tensor) -> Tensor:
        """The larger of both shares, ``(B,)``: up to 1 is within the budget."""
        share = self.lpips(others) / max(self.most_lpips, 1e-9)
        if self.most_flip is not None:
            share = torch.maximum(share, self.flip(others) / self.most_flip)
        return share


@torch.no_grad()
def within(budget: Budget, pictures: Tensor, delta: Tensor, *, upper: float = 1.0, rounds: int = 12) -> Tensor:
    """δ ``(B, 3, H, W)`` scaled by up to ``upper``, so that every picture keeps the budget after 8-bit rounding.

    Returns δ with ``pictures + δ`` in [0, 1].
    """

    def moved(scale: Tensor) -> Tensor:
        return (pictures + scale.to(pictures.device).view(-1, 1, 1, 1) * delta).clamp(0, 1)

    def distance(scale: Tensor) -> Tensor:
        return budget.used(as_8_bit(moved(scale))).cpu()

    scale = largest_scale(distance, 1.0, len(pictures), upper=upper, rounds=rounds, tolerance=0.02)
    return moved(scale) - pictures
