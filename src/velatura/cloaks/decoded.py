"""The decoded-view cloak, ours: pull what the model gives back, D(E(x+δ)), towards D(E(Ω(x,T))).

A latent may come near its target in ways that the decoder, and a model trained on such latents, hardly shows; this
objective asks for what can be seen. The distance is LPIPS on AlexNet and that network's style statistics: VGG16 is the
judges'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.cloaks.cloak import Cloak, Goal, Objective, OnStep, goals
from velatura.cloaks.descent import DescentSettings, descend
from velatura.cloaks.expectation import Transform, expected
from velatura.cloaks.styleguard import Moments
from velatura.diffusion.extractors import Extractor
from velatura.perception.lpips import LPIPS, load, unit


@dataclass(frozen=True)
class DecodedSettings(DescentSettings):
    """Weights of the four terms, each 1 for the clean picture and 0 at the target; their sum divides the objective.

    view: LPIPS of the decoded pictures. style: their style statistics. latent: the Glaze objective. moments: means and
    variances of the latents. look: short side (px) to which the decoded picture is enlarged for AlexNet where it is
    smaller: strokes of 128 px pictures are too fine for its first layer. resolutions: short sides (px) at which the
    model looks; empty: the pictures' own. draws, seed: of transformations, where there are any.
    """

    view: float = 1.0
    style: float = 1.0
    latent: float = 0.0
    moments: float = 0.0
    look: int = 0
    resolutions: tuple[int, ...] = ()
    draws: int = 2
    seed: int = 0


class _View:
    """Where the decoded picture has to go in one extractor's eyes, at one resolution."""

    def __init__(self, goal: Goal, pictures: Tensor, network: LPIPS, look: int) -> None:
        self.goal, self.network, self.look = goal, network, look
        with torch.no_grad():
            latents = goal.encode(pictures)
            self.target = self._seen(goal.features)
            self.initial = [x.clamp_min(1e-4) for x in self._apart(self._seen(latents))]
            self.moments = Moments(latents, goal.features, goal.extractor)

    def _seen(self, latents: Tensor) -> list[Tensor]:
        extractor = self.goal.extractor
        with extractor.autocast():
            view = extractor.decode(latents)
            scale = self.look / min(view.shape[-2:])
            if scale > 1:
                view = F.interpolate(view, scale_factor=scale, mode="bilinear")
            return [x.float() for x in self.network.activations(view)]

    def _apart(self, seen: list[Tensor]) -> tuple[Tensor, Tensor]:
        """LPIPS and distance of style statistics to the target, ``(B,)`` each."""
        return self.network.compare(unit(seen), unit(self.target)), style_distance(seen, self.target)

    def __call__(self, cloaked: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``(B,)`` each: what is left of the way in LPIPS, in style statistics, in latents, in their moments."""
        latents = self.goal.encode(cloaked)
        view, style = (x / first for x, first in zip(self._apart(self._seen(latents)), self.initial, strict=True))
        return view, style, self.goal.left(latents), self.moments.left(latents)


def decoded(
    pictures: Tensor,
    targets: Tensor,
    *,
    extractors: Sequence[Extractor],
    settings: DecodedSettings,
    on_step: OnStep | None = None,
    transforms: Sequence[Transform] = (),
) -> Cloak:
    """min over δ of the weighted sum of what is left of the way + the penalties of :func:`descend`.

    Shapes as in :func:`velatura.cloaks.glaze.glaze`; averaged over extractors and resolutions. With ``transforms`` in
    expectation over what is done to the picture afterwards, too (:func:`velatura.cloaks.expectation.expected`).
    """
    network = load("alex", str(pictures.device))
    whole = settings.view + settings.style + settings.latent + settings.moments

    def make(pictures: Tensor, targets: Tensor) -> Objective:
        aims = [
            _View(goal, pictures, network, settings.look)
            for goal in goals(extractors, pictures, targets, settings.resolutions)
        ]

        def objective(cloaked: Tensor) -> tuple[Tensor, Tensor]:
            view, style, latent, moments = torch.stack([torch.stack(aim(cloaked)) for aim in aims]).mean(0)
            wanted = settings.view * view + settings.style * style + settings.latent * latent
            return (wanted + settings.moments * moments) / whole, latent

        return objective

    objective = make(pictures, targets)
    if transforms:
        objective = expected(make, pictures, targets, transforms, draws=settings.draws, seed=settings.seed)
    name = "hardened" if transforms else "decoded"
    return Cloak(descend(pictures, objective, extractors[0], settings, on_step), name, settings.steps)


def style_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """``(B,)``: distance of channels' means and deviations, relative to their size in ``b``, layers averaged."""
    layers = []
    for x, y in zip(a, b, strict=True):
        both = [(torch.cat([v.mean((2, 3)), (v.var((2, 3)) + 1e-6).sqrt()], 1)) for v in (x, y)]
        layers.append((both[0] - both[1]).pow(2).sum(1) / both[1].pow(2).sum(1).clamp_min(1e-6))
    return torch.stack(layers).mean(0)
