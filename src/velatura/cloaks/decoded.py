"""The decoded-view cloak, ours: pull what the model gives back, D(E(x+δ)), towards D(E(Ω(x,T))).

A latent may come near its target in ways that the decoder, and a model trained on such latents, hardly shows; this
objective asks for what can be seen. The distance is LPIPS on AlexNet and that network's style statistics: VGG16 is the
judges' (HOUSE.md, contract 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.cloaks.cloak import Cloak, Goal, OnStep, goals
from velatura.cloaks.descent import DescentSettings, descend
from velatura.diffusion.extractors import Extractor
from velatura.perception.lpips import LPIPS, load, unit


@dataclass(frozen=True)
class DecodedSettings(DescentSettings):
    """Weights of the three terms, each 1 for the clean picture and 0 at the target; their sum divides the objective.

    view: LPIPS of the decoded pictures. style: their style statistics. latent: the Glaze objective. resolutions: short
    sides (px) at which the model looks; empty: the pictures' own.
    """

    view: float = 1.0
    style: float = 1.0
    latent: float = 0.0
    resolutions: tuple[int, ...] = ()


class _View:
    """Where the decoded picture has to go in one extractor's eyes, at one resolution."""

    def __init__(self, goal: Goal, pictures: Tensor, network: LPIPS) -> None:
        self.goal, self.network = goal, network
        with torch.no_grad():
            self.target = self._seen(goal.features)
            clean = self._seen(goal.encode(pictures))
            self.initial = [x.clamp_min(1e-4) for x in self._apart(clean)]

    def _seen(self, latents: Tensor) -> list[Tensor]:
        extractor = self.goal.extractor
        with extractor.autocast():
            return [x.float() for x in self.network.activations(extractor.decode(latents))]

    def _apart(self, seen: list[Tensor]) -> tuple[Tensor, Tensor]:
        """LPIPS and distance of style statistics to the target, ``(B,)`` each."""
        return self.network.compare(unit(seen), unit(self.target)), _style_distance(seen, self.target)

    def __call__(self, cloaked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(B,)`` each: what is left of the way in LPIPS, in style statistics, in latents."""
        latents = self.goal.encode(cloaked)
        view, style = (x / first for x, first in zip(self._apart(self._seen(latents)), self.initial, strict=True))
        return view, style, self.goal.left(latents)


def decoded(
    pictures: Tensor,
    targets: Tensor,
    *,
    extractors: Sequence[Extractor],
    settings: DecodedSettings,
    on_step: OnStep | None = None,
) -> Cloak:
    """min over δ of the weighted sum of what is left of the way + the penalties of :func:`descend`.

    Shapes as in :func:`velatura.cloaks.glaze.glaze`; averaged over extractors and resolutions.
    """
    network = load("alex", str(pictures.device))
    aims = [_View(goal, pictures, network) for goal in goals(extractors, pictures, targets, settings.resolutions)]
    whole = settings.view + settings.style + settings.latent

    def objective(cloaked: Tensor) -> tuple[Tensor, Tensor]:
        view, style, latent = torch.stack([torch.stack(aim(cloaked)) for aim in aims]).mean(0)
        wanted = (settings.view * view + settings.style * style + settings.latent * latent) / whole
        return wanted, latent

    return Cloak(descend(pictures, objective, extractors[0], settings, on_step), "decoded", settings.steps)


def _style_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """``(B,)``: distance of channels' means and deviations, relative to their size in ``b``, layers averaged."""
    layers = []
    for x, y in zip(a, b, strict=True):
        both = [(torch.cat([v.mean((2, 3)), (v.var((2, 3)) + 1e-6).sqrt()], 1)) for v in (x, y)]
        layers.append((both[0] - both[1]).pow(2).sum(1) / both[1].pow(2).sum(1).clamp_min(1e-6))
    return torch.stack(layers).mean(0)
