"""The cloaks that arms are named after, a row each: pictures and targets in, deltas out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
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
from velatura.protection import Protector
from velatura.protection.protector import Circumstances

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


Maker = Callable[[Protector, Work, Any], list[Tensor]]
"""With the settings that the method's row says: one δ per picture, of its shape."""


@dataclass(frozen=True)
class Method:
    """All that an experiment knows of a method.

    Attributes:
        make: its deltas, from a protector, the work and its own settings.
        settings: these, from the optimiser's settings of an effort (:data:`~velatura.protection.EFFORTS`) and the LPIPS
            budget, 0 to 1.
        bound: whether its mean ꟻLIP is bounded as the product's is; the others are as published.
        as_product: whether it does as ``velatura protect`` does: begins from the instant cloak, and looks at larger
            files from close by.
        draws_like_glaze: whether its T is drawn as Glaze draws it; the others share the T of ``velatura protect``
            (``styles/choose.py``).
        follows_effort: whether its optimiser takes the steps of the effort; the others' steps are their own.
        through_unet: whether it needs a whole text-to-image model, and depends on its U-Net.
        seen: countermeasures that its optimiser has seen: surviving those says little about others.
        gradients: for estimates of time: gradient steps through an encoder per picture, a U-Net's counting for three;
            None: as many as the effort has, each ``dearer`` times as long as a plain one.
    """

    make: Maker
    settings: Callable[[GlazeSettings, float], Any]
    bound: bool = False
    as_product: bool = False
    draws_like_glaze: bool = False
    follows_effort: bool = False
    through_unet: bool = False
    seen: tuple[str, ...] = ()
    gradients: int | None = None
    dearer: int = 1

    def __call__(self, protector: Protector, work: Work) -> list[Tensor]:
        """One δ per picture ``(1, 3, h, w)``, of its shape."""
        return self.make(protector, work, self.settings(protector.settings.cloak(), work.budget))


def _each(cloak: Callable[..., Any]) -> Maker:
    """A cloak that looks at one picture at a time."""

    def make(protector: Protector, work: Work, settings: Any) -> list[Tensor]:
        pairs = zip(work.originals, work.targets, strict=True)
        return [cloak(x, t, extractors=protector.extractors, settings=settings).delta for x, t in pairs]

    return make


# What the published objective has and the product has not, in the steps of the effort: a penalty on LPIPS, which lets
# short runs keep to it, and nothing else that holds δ back.
AS_OBJECTIVE: dict[str, Any] = {
    "alpha": 8.0,
    "alpha_from": 0.0,
    "learning_rate": 0.014,
    "mask": 0.0,
    "smooth": False,
    "detail": 0.0,
}


def _glaze(protector: Protector, work: Work, settings: GlazeSettings) -> list[Tensor]:
    own = protector.settings.cloak()
    recipe = own if protector.settings.as_published else replace(own, **AS_OBJECTIVE)
    pairs = zip(work.originals, work.targets, strict=True)
    return [protector.cloak(x, t, warm_start=False, recipe=recipe) for x, t in pairs]


def _glaze_bounded(protector: Protector, work: Work, settings: GlazeSettings) -> list[Tensor]:
    bound = protector.settings.visible()
    published = copy.copy(protector)
    published.settings = replace(protector.settings, flip=NO_BOUND)
    pairs = zip(work.originals, _glaze(published, work, settings), strict=True)
    return [within(Budget(x, work.budget, bound), x, delta) for x, delta in pairs]


def _velatura(protector: Protector, work: Work, settings: GlazeSettings) -> list[Tensor]:
    every = zip(work.originals, work.targets, work.abouts, strict=True)
    return [protector.cloak(x, t, about=about, warm_start=work.warm_start) for x, t, about in every]


def _noise(protector: Protector, work: Work, settings: NoiseSettings) -> list[Tensor]:
    return [noise(x, settings=replace(settings, seed=work.seed + i)).delta for i, x in enumerate(work.originals)]


def _shuffled(protector: Protector, work: Work, settings: GlazeSettings) -> list[Tensor]:
    deltas = [delta[0] for delta in _velatura(protector, work, settings)]
    return [
        shuffled(x, deltas, own=[i], budget=work.budget, seed=work.seed + i).delta for i, x in enumerate(work.originals)
    ]


def _advdm(protector: Protector, work: Work, settings: AdvDMSettings) -> list[Tensor]:
    pipeline = models.load(protector.settings.models[0], protector.device)
    seeded, own = replace(settings, seed=work.seed), protector.extractors
    return [advdm(x, extractors=own, pipeline=pipeline, settings=seeded).delta for x in work.originals]


def _aspl(protector: Protector, work: Work, settings: ASPLSettings) -> list[Tensor]:
    pipeline = models.load(protector.settings.models[0], protector.device)
    cloaks = aspl(work.originals, pipeline=pipeline, settings=replace(settings, seed=work.seed))
    return [cloak.delta for cloak in cloaks]


DIFFERENTIABLE = {
    "jpeg": differentiable.jpeg,
    "resize": differentiable.resize,
    "crop": differentiable.crop,
    "noise": differentiable.noise,
    "blur": differentiable.blur,
}


def _hardened(protector: Protector, work: Work, settings: DecodedSettings) -> list[Tensor]:
    transforms = [
        *(Transform(name, function, COUNTERMEASURES[name].moves) for name, function in DIFFERENTIABLE.items()),
        *(Transform("vae", differentiable.round_trip(extractor)) for extractor in protector.extractors),
    ]
    seeded, own = replace(settings, seed=work.seed), protector.extractors
    pairs = zip(work.originals, work.targets, strict=True)
    return [decoded(x, t, extractors=own, settings=seeded, transforms=transforms).delta for x, t in pairs]


# The latents and something of the decoded view, enlarged for AlexNet (results/cloaks/objectives.json). The decoded
# view alone is a way to fool AlexNet; the latents hold it to the picture.
BLEND: dict[str, Any] = {"view": 0.3, "style": 0.0, "latent": 1.0, "look": 256}
RADII, STEPS = 9, 50  # of descents in an L∞ ball; papers take more steps, but at one radius


def _own(effort: GlazeSettings, budget: float) -> GlazeSettings:
    return replace(effort, budget=budget)


def _for_decoded(effort: GlazeSettings, budget: float) -> DecodedSettings:
    shared = asdict(replace(effort, budget=budget))
    del shared["detail"]  # of the latents, which is another objective
    return DecodedSettings(**shared)


def _for_blend(effort: GlazeSettings, budget: float) -> DecodedSettings:
    return replace(_for_decoded(effort, budget), **BLEND)


def _for_veil(effort: GlazeSettings, budget: float) -> DecodedSettings:
    """``blend``, and more of δ where the picture is busy; not in the product."""
    return replace(_for_blend(effort, budget), mask=0.5)


def _for_advdm(effort: GlazeSettings, budget: float) -> AdvDMSettings:
    return AdvDMSettings(budget, steps=STEPS, rounds=6)


def _for_mist(effort: GlazeSettings, budget: float) -> AdvDMSettings:
    return replace(_for_advdm(effort, budget), texture=1.0)


def _for_application(effort: GlazeSettings, budget: float) -> ApplicationSettings:
    return ApplicationSettings(budget, rounds=RADII)


def _for_aspl(effort: GlazeSettings, budget: float) -> ASPLSettings:
    return ASPLSettings(budget, turns=15, rounds=6)


def _for_instant(effort: GlazeSettings, budget: float) -> InstantSettings:
    return InstantSettings(budget, effort.flip)


def _for_noise(effort: GlazeSettings, budget: float) -> NoiseSettings:
    return NoiseSettings(budget)


def _for_photoguard(effort: GlazeSettings, budget: float) -> PhotoGuardSettings:
    return PhotoGuardSettings(budget, STEPS, RADII)


def _for_styleguard(effort: GlazeSettings, budget: float) -> StyleGuardSettings:
    return StyleGuardSettings(budget, STEPS, RADII)


_PRODUCT = Method(_velatura, _own, bound=True, as_product=True, follows_effort=True)
_GLAZE = Method(_glaze, _own, draws_like_glaze=True, follows_effort=True)
_DECODED = Method(_each(decoded), _for_decoded, bound=True, follows_effort=True, dearer=3)

METHODS: dict[str, Method] = {
    # AdvDM and Mist: noise that the denoiser cannot explain; Mist's also moves the latents to a texture.
    "advdm": Method(_advdm, _for_advdm, through_unet=True, gradients=900),
    # The early Glaze application.
    "application": Method(_each(application), _for_application, draws_like_glaze=True, gradients=360),
    "aspl": Method(_aspl, _for_aspl, through_unet=True, gradients=2000),
    # As "velatura", but for T, which it draws as Glaze does.
    "banded": replace(_PRODUCT, draws_like_glaze=True),
    "blend": replace(_DECODED, settings=_for_blend),
    "decoded": _DECODED,
    # The objective as published, with the same steps.
    "glaze": _GLAZE,
    # Its δ, scaled down until it keeps the product's bound on what is seen as well, and uses less of its LPIPS.
    "glaze-bounded": replace(_GLAZE, make=_glaze_bounded, bound=True),
    "hardened": replace(_DECODED, make=_hardened, settings=_for_blend, dearer=9, seen=(*DIFFERENTIABLE, "vae")),
    "instant": Method(_each(instant), _for_instant, bound=True, gradients=1),
    "mist": Method(_advdm, _for_mist, through_unet=True, gradients=900),
    "noise": Method(_noise, _for_noise, gradients=0),
    "photoguard": Method(_each(photoguard), _for_photoguard, gradients=450),
    # As "velatura", with a T of its own for each picture.
    "scattered": _PRODUCT,
    # The product's own deltas, each cut up and laid out anew: equal in what is seen, without an aim.
    "shuffled": replace(_PRODUCT, make=_shuffled),
    "styleguard": Method(_each(styleguard), _for_styleguard, gradients=450),
    "veil": replace(_DECODED, settings=_for_veil),
    # What `velatura protect` does by default.
    "velatura": _PRODUCT,
}


def made_with(settings: Any) -> dict[str, Any]:
    """A method's settings as results list them: less its bounds, which the arm says."""
    return {key: value for key, value in asdict(settings).items() if key not in ("budget", "flip")}
