"""The cloaks that arms are named after: pictures and targets in, deltas out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

from torch import Tensor

from velatura.cloaks import (
    AdvDMSettings,
    DecodedSettings,
    NoiseSettings,
    PhotoGuardSettings,
    advdm,
    decoded,
    noise,
    photoguard,
    shuffled,
)
from velatura.diffusion import pipeline as models
from velatura.protect import Protector

Maker = Callable[[Protector, Sequence[Tensor], Sequence[Tensor], float, int], list[Tensor]]
"""A protector, pictures and their targets ``(1, 3, h, w)``, the LPIPS budget and a seed to one δ a picture."""


def _glaze(
    protector: Protector, originals: Sequence[Tensor], targets: Sequence[Tensor], budget: float, seed: int
) -> list[Tensor]:
    return [protector.cloak(x, t) for x, t in zip(originals, targets, strict=True)]


def _decoded(
    protector: Protector, originals: Sequence[Tensor], targets: Sequence[Tensor], budget: float, seed: int
) -> list[Tensor]:
    settings = DecodedSettings(**asdict(protector.settings.cloak()))
    return [
        decoded(x, t, extractors=protector.extractors, settings=settings).delta
        for x, t in zip(originals, targets, strict=True)
    ]


def _noise(
    protector: Protector, originals: Sequence[Tensor], targets: Sequence[Tensor], budget: float, seed: int
) -> list[Tensor]:
    return [noise(x, settings=NoiseSettings(budget, seed + i)).delta for i, x in enumerate(originals)]


def _shuffled(
    protector: Protector, originals: Sequence[Tensor], targets: Sequence[Tensor], budget: float, seed: int
) -> list[Tensor]:
    deltas = [delta[0] for delta in _glaze(protector, originals, targets, budget, seed)]
    return [shuffled(x, deltas, own=[i], budget=budget, seed=seed + i).delta for i, x in enumerate(originals)]


def _photoguard(
    protector: Protector, originals: Sequence[Tensor], targets: Sequence[Tensor], budget: float, seed: int
) -> list[Tensor]:
    settings = PhotoGuardSettings(budget, steps=50, rounds=9)
    return [
        photoguard(x, t, extractors=protector.extractors, settings=settings).delta
        for x, t in zip(originals, targets, strict=True)
    ]


def _advdm(
    protector: Protector,
    originals: Sequence[Tensor],
    targets: Sequence[Tensor],
    budget: float,
    seed: int,
    *,
    texture: float,
) -> list[Tensor]:
    pipeline = models.load(protector.settings.models[0], protector.device)
    settings = AdvDMSettings(budget, steps=50, rounds=6, texture=texture, seed=seed)
    return [advdm(x, extractors=protector.extractors, pipeline=pipeline, settings=settings).delta for x in originals]


# "velatura" is what `velatura protect` does by default, "glaze" the objective as published, with the same steps.
METHODS: dict[str, Maker] = {
    "advdm": partial(_advdm, texture=0.0),
    "decoded": _decoded,
    "glaze": _glaze,
    "mist": partial(_advdm, texture=1.0),
    "noise": _noise,
    "photoguard": _photoguard,
    "shuffled": _shuffled,
    "velatura": _glaze,
}
BOUNDED = ("decoded", "velatura")  # whose colour cast is bounded as the product's is; the rest as published
THROUGH_UNET = ("advdm", "mist")  # which need a whole text-to-image model, and depend on its U-Net
