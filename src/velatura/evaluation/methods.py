"""The cloaks that arms are named after: pictures and targets in, deltas out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from velatura.cloaks import (
    AdvDMSettings,
    ApplicationSettings,
    ASPLSettings,
    DecodedSettings,
    GlazeSettings,
    InstantSettings,
    NoiseSettings,
    PhotoGuardSettings,
    StyleGuardSettings,
    advdm,
    application,
    aspl,
    decoded,
    instant,
    noise,
    photoguard,
    shuffled,
    styleguard,
)
from velatura.cloaks.budget import Budget, within
from velatura.cloaks.expectation import Transform
from velatura.countermeasures import COUNTERMEASURES, differentiable
from velatura.diffusion import pipeline as models
from velatura.protect import Protector
from velatura.protect.protector import Circumstances

NO_BOUND = 1.0  # of mean ꟻLIP: the objective as published


@dataclass(frozen=True)
class Work:
    """Pictures, their targets ``(1, 3, h, w)``, what is to be known of their files, the LPIPS budget, a seed.

    ``warm_start``: whether cloaks of the product begin from the instant one, as they do there.
    """

    originals: Sequence[Tensor]
    targets: Sequence[Tensor]
    abouts: Sequence[Circumstances]
    budget: float
    seed: int
    warm_start: bool = True


Maker = Callable[[Protector, Work], list[Tensor]]
"""To one δ a picture."""


def _each(cloak: Callable[..., Any], method: str) -> Maker:
    """A cloak that looks at one picture at a time."""

    def make(protector: Protector, work: Work) -> list[Tensor]:
        chosen = SETTINGS[method](protector.settings.cloak(), work.budget)
        pairs = zip(work.originals, work.targets, strict=True)
        return [cloak(x, t, extractors=protector.extractors, settings=chosen).delta for x, t in pairs]

    return make


# What the published objective has and the product has not, in the steps of the effort: a penalty on LPIPS, which lets
# short runs keep to it, and nothing else that holds δ back.
AS_OBJECTIVE: dict[str, Any] = {"alpha": 8.0, "learning_rate": 0.014, "mask": 0.0, "smooth": False}


def _glaze(protector: Protector, work: Work) -> list[Tensor]:
    own = protector.settings.cloak()
    recipe = own if protector.settings.as_published else replace(own, **AS_OBJECTIVE)
    pairs = zip(work.originals, work.targets, strict=True)
    return [protector.cloak(x, t, warm_start=False, recipe=recipe) for x, t in pairs]


def _glaze_bounded(protector: Protector, work: Work) -> list[Tensor]:
    bound = protector.settings.visible
    published = copy.copy(protector)
    published.settings = replace(protector.settings, flip=NO_BOUND)
    pairs = zip(work.originals, _glaze(published, work), strict=True)
    return [within(Budget(x, work.budget, bound), x, delta) for x, delta in pairs]


def _velatura(protector: Protector, work: Work) -> list[Tensor]:
    every = zip(work.originals, work.targets, work.abouts, strict=True)
    return [protector.cloak(x, t, about=about, warm_start=work.warm_start) for x, t, about in every]


def _noise(protector: Protector, work: Work) -> list[Tensor]:
    return [noise(x, settings=NoiseSettings(work.budget, work.seed + i)).delta for i, x in enumerate(work.originals)]


def _shuffled(protector: Protector, work: Work) -> list[Tensor]:
    deltas = [delta[0] for delta in _velatura(protector, work)]
    return [
        shuffled(x, deltas, own=[i], budget=work.budget, seed=work.seed + i).delta for i, x in enumerate(work.originals)
    ]


def _advdm(protector: Protector, work: Work, *, method: str) -> list[Tensor]:
    pipeline = models.load(protector.settings.models[0], protector.device)
    settings = replace(SETTINGS[method](protector.settings.cloak(), work.budget), seed=work.seed)
    return [
        advdm(x, extractors=protector.extractors, pipeline=pipeline, settings=settings).delta for x in work.originals
    ]


def _aspl(protector: Protector, work: Work) -> list[Tensor]:
    pipeline = models.load(protector.settings.models[0], protector.device)
    settings = replace(SETTINGS["aspl"](protector.settings.cloak(), work.budget), seed=work.seed)
    return [cloak.delta for cloak in aspl(work.originals, pipeline=pipeline, settings=settings)]


# The latents and something of the decoded view, enlarged for AlexNet (results/cloaks/objectives.json). The decoded
# view alone is a way to fool AlexNet; the latents hold it to the picture.
BLEND: dict[str, Any] = {"view": 0.3, "style": 0.0, "latent": 1.0, "look": 256}


def _decoded(effort: GlazeSettings, budget: float) -> DecodedSettings:
    return DecodedSettings(**asdict(replace(effort, budget=budget)))


def _blend(effort: GlazeSettings, budget: float) -> DecodedSettings:
    return replace(_decoded(effort, budget), **BLEND)


def _veil(effort: GlazeSettings, budget: float) -> DecodedSettings:
    """``blend``, and more of δ where the picture is busy; not in the product."""
    return replace(_blend(effort, budget), mask=0.5)


def _hardened(protector: Protector, work: Work) -> list[Tensor]:
    settings = replace(SETTINGS["hardened"](protector.settings.cloak(), work.budget), seed=work.seed)
    transforms = [
        *(Transform(name, function, COUNTERMEASURES[name].moves) for name, function in DIFFERENTIABLE.items()),
        *(Transform("vae", differentiable.round_trip(extractor)) for extractor in protector.extractors),
    ]
    return [
        decoded(x, t, extractors=protector.extractors, settings=settings, transforms=transforms).delta
        for x, t in zip(work.originals, work.targets, strict=True)
    ]


DIFFERENTIABLE = {
    "jpeg": differentiable.jpeg,
    "resize": differentiable.resize,
    "crop": differentiable.crop,
    "noise": differentiable.noise,
    "blur": differentiable.blur,
}
# What a method's optimiser has seen of the countermeasures: surviving those says little about others.
SEEN = {"hardened": (*DIFFERENTIABLE, "vae")}


RADII, STEPS = 9, 50  # of attacks in an L∞ ball; papers take more steps, but at one radius


def _own(effort: GlazeSettings, budget: float) -> GlazeSettings:
    return replace(effort, budget=budget)


# Every method's settings, from the optimiser's of an effort (:data:`~velatura.protect.EFFORTS`) and the budget.
SETTINGS: dict[str, Callable[[GlazeSettings, float], Any]] = {
    **dict.fromkeys(("banded", "glaze", "glaze-bounded", "scattered", "shuffled", "velatura"), _own),
    "advdm": lambda _, budget: AdvDMSettings(budget, steps=STEPS, rounds=6),
    "application": lambda _, budget: ApplicationSettings(budget, rounds=RADII),
    "aspl": lambda _, budget: ASPLSettings(budget, turns=15, rounds=6),
    "blend": _blend,
    "decoded": _decoded,
    "hardened": _blend,
    "instant": lambda effort, budget: InstantSettings(budget, effort.flip),
    "mist": lambda _, budget: AdvDMSettings(budget, steps=STEPS, rounds=6, texture=1.0),
    "noise": lambda _, budget: NoiseSettings(budget),
    "photoguard": lambda _, budget: PhotoGuardSettings(budget, STEPS, RADII),
    "styleguard": lambda _, budget: StyleGuardSettings(budget, STEPS, RADII),
    "veil": _veil,
}


def settings_of(method: str, effort: GlazeSettings, budget: float) -> Any:
    """A method's settings."""
    return SETTINGS[method](effort, budget)


def made_with(settings: Any) -> dict[str, Any]:
    """A method's settings as results list them: less its bounds, which the arm says."""
    return {key: value for key, value in asdict(settings).items() if key not in ("budget", "flip")}


# "velatura" is what `velatura protect` does by default, "banded" the same but for T, which it draws as Glaze does,
# "scattered" the same with a T of its own for each picture,
# "glaze" the objective as published, with the same steps; "glaze-bounded" its δ, scaled down until it keeps the
# product's bound on what is seen as well, and uses less of its LPIPS; "application" the early Glaze application.
METHODS: dict[str, Maker] = {
    "advdm": partial(_advdm, method="advdm"),
    "application": _each(application, "application"),
    "aspl": _aspl,
    "banded": _velatura,
    "blend": _each(decoded, "blend"),
    "decoded": _each(decoded, "decoded"),
    "glaze": _glaze,
    "glaze-bounded": _glaze_bounded,
    "hardened": _hardened,
    "instant": _each(instant, "instant"),
    "mist": partial(_advdm, method="mist"),
    "noise": _noise,
    "photoguard": _each(photoguard, "photoguard"),
    "scattered": _velatura,
    "shuffled": _shuffled,
    "styleguard": _each(styleguard, "styleguard"),
    "veil": _each(decoded, "veil"),
    "velatura": _velatura,
}
# Those whose ꟻLIP is bounded as the product's is (shuffled: of the product's own deltas); the others are as published.
BOUNDED = (
    *("banded", "blend", "decoded", "glaze-bounded", "hardened", "instant", "scattered", "shuffled", "veil"),
    "velatura",
)
# Those that do as `velatura protect` does: begin from the instant cloak, and look at larger files from close by.
AS_PRODUCT = ("banded", "scattered", "shuffled", "velatura")
# Those whose T is drawn as Glaze draws it; the others share the T of `velatura protect` (styles/choose.py).
DRAW_AS_GLAZE = ("application", "banded", "glaze", "glaze-bounded")
# Those whose optimiser follows the effort; the others' steps are their own.
FOLLOW_EFFORT = ("blend", "decoded", "glaze", "glaze-bounded", "hardened", "veil", *AS_PRODUCT)
THROUGH_UNET = ("advdm", "aspl", "mist")  # which need a whole text-to-image model, and depend on its U-Net
