"""Glaze's style cloak (Shan et al., USENIX Security 2023, eq. 3-5): pull Φ(x+δ) towards Φ(Ω(x,T))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from torch import Tensor

from velatura.cloaks.cloak import Cloak, OnStep, goals, latent
from velatura.cloaks.descent import Colour, DescentSettings, descend
from velatura.diffusion.extractors import Extractor


@dataclass(frozen=True)
class GlazeSettings(DescentSettings):
    """resolutions: short sides (px) at which features are compared; empty: the pictures' own.

    detail: share of the latents' detail in the objective (``Goal.detail_by_family``); 0, as published, has none. What
    is the same over a wide place is tone and colour, which cannot be moved without being seen; strokes and edges can.
    """

    resolutions: tuple[int, ...] = ()
    detail: float = 0.0


def glaze(
    pictures: Tensor,
    targets: Tensor,
    *,
    extractors: Sequence[Extractor],
    settings: GlazeSettings,
    on_step: OnStep | None = None,
    opacity: Tensor | None = None,
    start: Tensor | None = None,
    colour: Colour | None = None,
) -> Cloak:
    """min over δ of ‖Φ(Ω(x,T)) − Φ(x+δ)‖² + α·max(LPIPS(x, x+δ) − p, 0), with x+δ in [0, 1].

    Not in the paper: with ``settings.flip``, + γ·max(ꟻLIP(x, x+δ)/q − 1, 0); with ``settings.detail``, that share of
    the feature distance is taken of the features less a blur of them.

    ``pictures`` and ``targets`` = Ω(x,T): ``(B, 3, H, W)`` in [0, 1], H and W multiples of 8. The feature distance is
    divided by the clean picture's own and averaged over model families, so that α means the same for every model.

    ``opacity``: ``(B, 1, H, W)`` of pictures that are transparent in places and given as they look over white. What a
    mimic lays them on is not known: they are looked at over white and over black in turn.

    ``start``: δ to begin from (``cloaks.instant``); zero if left out, as published. ``colour``: of pictures that are
    grey or in one hue, what may become of them (:data:`velatura.cloaks.descent.Colour`).
    """
    grounds = [(pictures, targets, pictures.new_zeros(()))]
    if opacity is not None:
        white = 1 - opacity  # what a white ground adds, and a black one does not
        grounds.append(((pictures - white).clamp(0, 1), (targets - white).clamp(0, 1), white))
    turn = cycle(
        [(latent(goals(extractors, x, t, settings.resolutions), settings.detail), white) for x, t, white in grounds]
    )

    def objective(cloaked: Tensor) -> tuple[Tensor, Tensor]:
        on_this_ground, white = next(turn)
        return on_this_ground(cloaked - white)

    delta = descend(pictures, objective, extractors[0], settings, on_step, opacity, start, colour)
    return Cloak(delta, "glaze", settings.steps)
