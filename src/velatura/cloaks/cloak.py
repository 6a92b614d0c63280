"""What every method takes and gives back: settings in, ``Step`` while it runs, ``Cloak`` out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from velatura.diffusion.extractors import Extractor
from velatura.errors import ContractError, InputError
from velatura.images.contract import check_pictures
from velatura.perception.pixels import blurred
from velatura.perception.resampling import resized

SURROUNDINGS = 2.0  # σ in latent cells (of 8 px): what is left of latents less such a blur is their detail


@dataclass(frozen=True)
class Step:
    """One step of an optimisation, passed to ``on_step``; raise ``Cancelled`` there to stop.

    ``latent_remaining`` is the mean over pictures and model families of ‖Φ(x+δ)−Φ(t)‖² / ‖Φ(x)−Φ(t)‖²; ``lpips`` and
    ``flip`` the means over pictures, NaN where the method does not look at them; ``delta`` the running perturbation
    ``(B, 3, H, W)``, not a copy.
    """

    index: int
    total: int
    loss: float
    latent_remaining: float
    lpips: float
    delta: Tensor
    flip: float = float("nan")


OnStep = Callable[[Step], None]

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Cloaked pictures ``(B, 3, H, W)`` to what is to become small, and ``latent_remaining``, ``(B,)`` each."""


@dataclass(frozen=True)
class Cloak:
    """A perturbation ``delta`` ``(B, 3, H, W)`` in units of the [0, 1] picture; ``pictures + delta`` is in [0, 1]."""

    delta: Tensor
    method: str
    steps: int
    notes: dict[str, float] = field(default_factory=dict)


class Goal:
    """Where the cloak has to take the pictures, in one extractor's eyes, at one resolution.

    What is left of the way is the squared feature distance to the target, divided by the same before cloaking: that
    makes the weights of several models comparable, and α mean the same for each. It is taken by model family
    (``Extractor.parts``), of which the surrogate has five.
    """

    def __init__(self, extractor: Extractor, pictures: Tensor, targets: Tensor, short_side: int | None = None) -> None:
        self.extractor = extractor
        self.size = _size(pictures, short_side)
        with torch.no_grad():
            self.features = self.encode(targets)
            self.clean = self.encode(pictures)
        self.initial = self._squared(self.clean - self.features).clamp_min(1e-8)

    @cached_property
    def _detail(self) -> tuple[Tensor, Tensor]:
        """The target's detail, and how far the clean picture's is from it."""
        with torch.no_grad():
            target = fine(self.features)
            return target, self._squared(fine(self.clean) - target).clamp_min(1e-8)

    def encode(self, pictures: Tensor) -> Tensor:
        """Φ of the pictures at this goal's resolution. Differentiable."""
        return self.extractor.encode(self._resized(pictures))

    def by_family(self, latents: Tensor) -> Tensor:
        """``(B, families)`` of latents: 1 for the clean picture, 0 at the target. Differentiable."""
        return self._squared(latents - self.features) / self.initial

    def detail_by_family(self, latents: Tensor) -> Tensor:
        """:meth:`by_family` of the latents' detail alone, without what is the same all around. Differentiable."""
        target, initial = self._detail
        return self._squared(fine(latents) - target) / initial

    def left(self, latents: Tensor) -> Tensor:
        """The mean over families, ``(B,)``."""
        return self.by_family(latents).mean(1)

    def remaining(self, pictures: Tensor) -> Tensor:
        """:meth:`left` of pictures. Differentiable."""
        return self.left(self.encode(pictures))

    def _resized(self, pictures: Tensor) -> Tensor:
        return pictures if self.size == tuple(pictures.shape[-2:]) else resized(pictures, self.size)

    def _squared(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, part].pow(2).flatten(1).sum(1) for _, part in self.extractor.parts], 1)


def fine(latents: Tensor) -> Tensor:
    """Latents less the mean of what is around them."""
    narrow = min(latents.shape[-2:])
    return latents - blurred(latents, min(SURROUNDINGS, (narrow - 1) / 2.5), reach=2.5)


def check_pairs(pictures: Tensor, targets: Tensor) -> None:
    """Refuse what are no pictures and targets of one shape."""
    check_pictures(pictures, "pictures")
    check_pictures(targets, "targets")
    if pictures.shape != targets.shape:
        raise ContractError(
            f"expected pictures and targets of one shape, got {tuple(pictures.shape)} and {tuple(targets.shape)}"
        )


def goals(
    extractors: Sequence[Extractor], pictures: Tensor, targets: Tensor, resolutions: Sequence[int] = ()
) -> list[Goal]:
    """One goal an extractor and resolution (short side, px; the pictures' own where none is named)."""
    check_pairs(pictures, targets)
    if not extractors:
        raise InputError("expected one extractor or more, got none")
    return [Goal(e, pictures, targets, side) for e in extractors for side in (resolutions or (None,))]


def mean_remaining(goals: Sequence[Goal], pictures: Tensor) -> Tensor:
    """``(B,)``: what is left of the way, the mean over families (and resolutions)."""
    remaining, _ = latent(goals)(pictures)
    return remaining


def latent(goals: Sequence[Goal], detail: float = 0.0) -> Objective:
    """The Glaze objective: what is left of the way in the latents; of it ``detail`` is the share of their detail."""

    def objective(cloaked: Tensor) -> tuple[Tensor, Tensor]:
        seen = [(goal, goal.encode(cloaked)) for goal in goals]
        remaining = torch.cat([goal.by_family(latents) for goal, latents in seen], 1).mean(1)
        if not detail:
            return remaining, remaining
        of_detail = torch.cat([goal.detail_by_family(latents) for goal, latents in seen], 1).mean(1)
        return (1 - detail) * remaining + detail * of_detail, remaining

    return objective


def _size(pictures: Tensor, short_side: int | None) -> tuple[int, int]:
    height, width = pictures.shape[-2:]
    if short_side is None or short_side == min(height, width):
        return height, width
    scale = short_side / min(height, width)
    return round(height * scale / 8) * 8, round(width * scale / 8) * 8
