"""Anti-DreamBooth's ASPL (Van Le et al., ICCV 2023, eq. 6 and Algorithm 1): a cloak against a model that learns on.

AdvDM works against a fixed model. A mimic's is another one after fine-tuning: here a surrogate is fine-tuned on the
protected pictures between the cloak's turns, and each turn is against a copy that has just learned from clean ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from velatura.cloaks.cloak import Cloak, OnStep, Step
from velatura.cloaks.linf import bisect
from velatura.diffusion import denoising
from velatura.diffusion.pipeline import is_full_size
from velatura.errors import InputError
from velatura.images.contract import check_pictures


@dataclass(frozen=True)
class ASPLSettings:
    """budget: LPIPS to reach. turns: of fine-tuning and cloaking at each radius. rounds: of bisection over the radius.

    learn: steps of fine-tuning a turn, on clean and on protected pictures each; attack: steps of PGD a turn, each a
    tenth of the radius, as Algorithm 1 calls them; rate: of AdamW; None: DreamBooth's, 5e-7 in the paper, 1e-4 on small
    models.
    The paper: 50 turns of 3 and 6; its radius of 0.05 on [-1, 1] is 6.4/255 here.
    """

    budget: float = 0.05
    turns: int = 50
    learn: int = 3
    attack: int = 6
    rate: float | None = None
    rounds: int = 6
    first_radius: float = 8 / 255
    prompt: str = "a painting"
    seed: int = 0


def aspl(
    pictures: Sequence[Tensor], *, pipeline: Any, settings: ASPLSettings, on_step: OnStep | None = None
) -> list[Cloak]:
    """max over ‖δ_i‖∞ ≤ r_i of the denoising loss of θ′, θ′ and θ fine-tuned in turn; the r_i from LPIPS ≤ p.

    ``pictures``: a body of work, ``(1, 3, h, w)`` each in [0, 1]; one surrogate learns from all of them, as the mimic
    will. ``pipeline``: of :func:`velatura.diffusion.pipeline.load`; it is not changed. Only the U-Net learns: the
    paper's text encoder and prior preservation are left out.
    """
    if not pictures:
        raise InputError("aspl: expected one picture or more, got none")
    for picture in pictures:
        check_pictures(picture, "pictures")
    rivals = _Rivals(pipeline, settings)

    def make(radius: Tensor, tell: Callable[[Step], None]) -> Sequence[Tensor]:
        surrogate, deltas = copy.deepcopy(pipeline.unet), [torch.zeros_like(x) for x in pictures]
        draws = torch.Generator().manual_seed(settings.seed)
        for turn in range(settings.turns):
            clone = copy.deepcopy(surrogate)
            rivals.learn(clone, pictures, draws)
            losses = []
            for i, picture in enumerate(pictures):
                deltas[i], loss = rivals.cloak(clone, picture, deltas[i], float(radius[i]), draws)
                losses.append(loss)
            rivals.learn(surrogate, [x + d for x, d in zip(pictures, deltas, strict=True)], draws)
            nan = float("nan")
            tell(Step(turn + 1, settings.turns, -sum(losses) / len(losses), nan, nan, deltas[0]))
        return deltas

    counts = {"steps": settings.turns, "rounds": settings.rounds}
    deltas, radius = bisect(pictures, make, settings.budget, **counts, first=settings.first_radius, on_step=on_step)
    total = settings.rounds * settings.turns * settings.attack
    return [Cloak(d, "aspl", total, {"radius_255": float(r * 255)}) for d, r in zip(deltas, radius, strict=True)]


class _Rivals:
    """The mimic's move and the cloak's."""

    def __init__(self, pipeline: Any, settings: ASPLSettings) -> None:
        self.pipeline, self.settings = pipeline, settings
        self.rate = settings.rate or (5e-7 if is_full_size(pipeline) else 1e-4)
        self.scheduler = denoising.training_scheduler(pipeline)
        with torch.no_grad():
            self.states = denoising.context(pipeline, [settings.prompt])

    def _loss(self, unet: Any, picture: Tensor, draws: torch.Generator) -> Tensor:
        latents = denoising.encode(self.pipeline.vae, picture, draws)
        return denoising.loss(unet, self.scheduler, latents, self.states, generator=draws).sum()

    def learn(self, unet: Any, pictures: Sequence[Tensor], draws: torch.Generator) -> None:
        """A few steps of AdamW, one picture each; ``unet`` is changed."""
        unet.requires_grad_(True)
        optimizer = torch.optim.AdamW(unet.parameters(), lr=self.rate)
        for _ in range(self.settings.learn):
            picture = pictures[int(torch.randint(len(pictures), (1,), generator=draws))]
            optimizer.zero_grad()
            self._loss(unet, picture.detach(), draws).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
        unet.requires_grad_(False)

    def cloak(
        self, unet: Any, picture: Tensor, delta: Tensor, radius: float, draws: torch.Generator
    ) -> tuple[Tensor, float]:
        """δ after a few signed steps up the loss, within the radius and the box, and the last loss."""
        value = float("nan")
        for _ in range(self.settings.attack):
            cloaked = (picture + delta).requires_grad_(True)
            loss = self._loss(unet, cloaked, draws)
            (found,) = torch.autograd.grad(loss, cloaked)
            delta = (delta + 0.1 * radius * found.sign()).clamp(-radius, radius)
            delta, value = (picture + delta).clamp(0, 1) - picture, float(loss.detach())
        return delta, value
