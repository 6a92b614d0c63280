"""The arms of an experiment: what the mimic trains on. They differ in nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from velatura.countermeasures import COUNTERMEASURES
from velatura.countermeasures.detect import DETECTORS
from velatura.countermeasures.settings import parse as parse_settings
from velatura.diffusion.extractors import Extractor
from velatura.errors import InputError
from velatura.evaluation.decoded_view import decoded_view
from velatura.evaluation.methods import AS_PRODUCT, BOUNDED, DRAW_AS_GLAZE, FOLLOW_EFFORT, METHODS, NO_BOUND, Work
from velatura.images import read
from velatura.perception.lpips import lpips
from velatura.perception.pixels import ssim
from velatura.protect import EFFORTS, Protector
from velatura.protect.panels import png
from velatura.protect.settings import flip_bound
from velatura.protect.visibility import visible
from velatura.styles.choose import BAND

PLAIN = ("base", "real", "clean")
OnPicture = Callable[[int, int], None]


@dataclass(frozen=True)
class Arm:
    """One arm: ``kind`` of ``reports.tables.ARMS``; ``method`` of :data:`METHODS`, or a label with a ``folder``.

    ``folder`` holds pictures protected elsewhere, under the names of the originals. ``share``: how much of the mimic's
    training set is protected, the rest being clean (1: all). ``at``: the cloak's effort; none: what the protocol says.
    ``on``: the models that it is made on ("mimic": the mimic's own); none: what the protocol says. ``towards``: T's
    name, or a part of it that no other has; none: as the protocol says or the method chooses. What the mimic does about
    it, in this order: ``dropping``: the detector whose findings it leaves out; ``then``: the countermeasure that its
    pictures go through before training, with its settings (``jpeg quality=50``); ``denoised``: the one that the
    pictures which it generates go through.
    """

    method: str
    budget: float | None = None
    folder: Path | None = None
    share: float = 1.0
    at: str = ""
    on: tuple[str, ...] = ()
    towards: str = ""
    then: str = ""
    dropping: str = ""
    denoised: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"arm {self.method}: expected a share above 0 and up to 1, got {self.share}")
        known = (*PLAIN, *METHODS)
        if self.folder is None and self.method not in known:
            raise InputError(f"arm {self.method!r}: expected one of {', '.join(known)}, or LABEL=FOLDER")
        if self.folder is not None and (self.method in known or not re.fullmatch(r"[\w.-]+", self.method)):
            raise InputError(
                f"arm {self.method!r}: that name has a meaning of its own or is no plain word; choose another for "
                f"{self.folder}"
            )
        if (self.method in METHODS or self.budget is not None) and not 0 < (self.budget or 0) <= 1:
            raise InputError(
                f"arm {self.method}: expected an LPIPS budget above 0 and up to 1, as in {self.method}:0.05"
            )
        if self.at and (self.folder is not None or self.method not in FOLLOW_EFFORT):
            raise InputError(f"arm {self.method}: has no effort to choose, so expected nothing after 'at'")
        if self.at and self.at not in EFFORTS:
            raise InputError(f"effort: expected one of {', '.join(EFFORTS)}, got {self.at!r}")
        if self.on and (self.folder is not None or self.method in (*PLAIN, "noise")):
            raise InputError(f"arm {self.method}: is not made on a model, so expected nothing after 'on'")
        if self.towards and (self.folder is not None or self.method in (*PLAIN, "noise", "scattered")):
            raise InputError(f"arm {self.method}: has no target style of its own, so expected nothing after 'towards'")
        if self.measures and self.method in ("base", "real"):
            raise InputError(f"arm {self.method}: trains on no pictures, so expected nothing after it")
        if self.dropping and self.dropping not in DETECTORS:
            raise InputError(f"detector {self.dropping!r}: expected one of {', '.join(DETECTORS)}")
        for words in filter(None, (self.then, self.denoised)):
            name, changes = countermeasure(words)
            if name not in COUNTERMEASURES:
                raise InputError(f"countermeasure {name!r}: expected one of {', '.join(COUNTERMEASURES)}")
            parse_settings(COUNTERMEASURES[name].settings, changes)  # refuses what it does not know

    @classmethod
    def parse(cls, text: str) -> Arm:
        """``clean``, ``noise:0.05``, ``velatura:0.1@0.5`` (half of the pictures), ``label=FOLDER``.

        ``velatura:0.1 at fast``: made with this effort; ``... on mini+taesd``: on these models; ``... towards
        hieronymus-bosch``: T by name; in this order. ``label:0.1=FOLDER``: to be compared with noise of LPIPS 0.1.
        ``velatura:0.1 then jpeg quality=50``: through a countermeasure before training; ``... denoised nlm``: what is
        generated, through another; ``velatura:0.1@0.5 dropping trained``: less what a detector finds.
        """
        whole, (text, _, denoised) = text, text.partition(" denoised ")
        text, _, then = text.partition(" then ")
        text, _, dropping = text.partition(" dropping ")
        head, mark, tail = text.rpartition("@")
        share = _number(tail) if mark else None
        rest = head if mark and (share is not None or "=" not in text) else text
        label, _, folder = rest.partition("=")
        towards = models = effort = ""
        if not folder:
            label, _, towards = label.partition(" towards ")
            label, _, models = label.partition(" on ")
            label, _, effort = label.partition(" at ")
        method, _, budget = label.strip().partition(":")
        wrong = (budget and _number(budget) is None) or (mark and share is None and "=" not in text)
        if wrong:
            raise InputError(f"arm {whole!r}: expected METHOD:BUDGET, as in noise:0.05, or LABEL=FOLDER")
        on = tuple(name.strip() for name in models.split("+") if name.strip())
        share = 1.0 if share is None else share
        place = Path(folder) if folder else None
        given = {"at": effort, "towards": towards, "then": then, "dropping": dropping, "denoised": denoised}
        words = {key: " ".join(value.split()) for key, value in given.items()}
        return cls(method, _number(budget) if budget else None, place, share, on=on, **words)

    @property
    def measures(self) -> str:
        """What the mimic does about it, in words, as results name it: ``jpeg quality=50``, ``dropping trained``."""
        parts = (
            self.dropping and f"dropping {self.dropping}",
            self.then,
            self.denoised and f"denoised {self.denoised}",
        )
        return ", ".join(filter(None, parts))

    @property
    def trained_on(self) -> Arm:
        """The arm whose mimic this one shares: nothing is done to what it generates."""
        return replace(self, denoised="")

    @property
    def kind(self) -> str:
        """The arm as results name it."""
        return self.method if self.method in (*PLAIN, "noise", "shuffled") else "cloaked"

    @property
    def cloak(self) -> str | None:
        """What was done to the pictures, as results name it beside the budget: ``velatura at fast on mini@0.5``."""
        aim = f" towards {self.towards}" if self.towards else ""
        effort = f" at {self.at}" if self.at else ""
        name = self.method + effort + self._on(" on ") + aim + ("" if self.share == 1 else f"@{self.share:g}")
        return name if self.kind == "cloaked" or name != self.method else None

    @property
    def key(self) -> str:
        """A name for files and lists."""
        budget = "" if self.budget is None else f"-{self.budget:g}"
        effort = f"-at-{self.at}" if self.at else ""
        share = "" if self.share == 1 else f"@{self.share:g}"
        words = ("towards", "dropping", "then", "denoised")
        steps = ((word, str(getattr(self, word)).replace(" ", "-")) for word in words)
        done = "".join(f"-{word}-{what}" for word, what in steps if what)
        return f"{self.method}{budget}{effort}{self._on('-on-')}{share}{done}"

    def _on(self, word: str) -> str:
        return word + "+".join(Path(name).name for name in self.on) if self.on else ""


def countermeasure(words: str) -> tuple[str, dict[str, str]]:
    """Name and settings: ``jpeg quality=50``."""
    name, *changes = words.split() or [""]
    pairs = [change.partition("=") for change in changes]
    if wrong := [key for key, sign, _ in pairs if not sign]:
        raise InputError(f"countermeasure {words!r}: expected KEY=VALUE, as in quality=50, got {wrong[0]!r}")
    return name, {key: value for key, _, value in pairs}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Protection:
    """Pictures of an arm as PNG files, figures of each (LPIPS, colour cast, decoded shift, ...), and T, or all Ts."""

    files: list[bytes]
    figures: list[dict[str, Any]]
    style: str


def visible_bound(arm: Arm, as_published: bool = False) -> float:
    """Bound on mean ꟻLIP of an arm's files: that of ``velatura protect``, for methods that have one.

    ``as_published``: of an effort at which ``velatura protect`` has no bound either.
    """
    if arm.method not in BOUNDED or (as_published and arm.method in AS_PRODUCT):
        return NO_BOUND
    return flip_bound(arm.budget or 0)


def protect(
    arm: Arm,
    protector: Protector,
    pictures: Sequence[Tensor],
    seed: int,
    on_picture: OnPicture | None = None,
    *,
    eye: Extractor | None = None,
    warm_start: bool = True,
) -> Protection:
    """Protect pictures ``(1, 3, h, w)`` with the arm's method, at equal LPIPS in the file, each file of its size.

    δ is made at the protector's working resolution. ``eye``: whose view figures are of; None: the cloak's first model.
    ``warm_start``: whether cloaks of the product begin from the instant one.
    """
    artworks = [read(png(x)) for x in pictures]
    originals = [protector.working(artwork) for artwork in artworks]
    protector.settings = replace(protector.settings, band=BAND if arm.method in DRAW_AS_GLAZE else None)
    looks = [protector.look(artwork) for artwork in artworks]
    if arm.method == "scattered":
        choices = [protector.choose([look]) for look in looks]
    else:
        choices = [protector.choose(looks)] * len(looks)
    targets = [protector.paint(x, choice) for x, choice in zip(originals, choices, strict=True)]
    assert arm.budget is not None
    bound = visible_bound(arm, protector.settings.as_published)
    protector.settings = replace(protector.settings, budget=arm.budget, flip=bound, seed=seed)
    abouts = [protector.circumstances(artwork) for artwork in artworks]
    deltas = METHODS[arm.method](protector, Work(originals, targets, abouts, arm.budget, seed, warm_start))
    files, figures = [], []
    for i, (artwork, x, t, delta) in enumerate(zip(artworks, originals, targets, deltas, strict=True)):
        # Every method is brought to the same LPIPS in its file, however much it left unused.
        data, saved, _ = protector.fit(artwork, x, delta, largest=8.0, enough=0.97)
        files.append(data)
        figures.append(measure(protector.extractors, eye, x, protector.working(saved), t))
        if on_picture is not None:
            on_picture(i + 1, len(originals))
    return Protection(files, figures, ", ".join(sorted({choice.style.name for choice in choices})))


def measure(
    own: Sequence[Extractor], eye: Extractor | None, original: Tensor, saved: Tensor, target: Tensor
) -> dict[str, float]:
    """Figures of a protected picture, of its file.

    ``latent_remaining`` and ``decoded_shift`` are the mimic's view (``eye``). Where the cloak was made on other models,
    ``own_decoded_shift`` is the smallest of their views: all that somebody knows who does not know the mimic.
    """
    eye = eye or own[0]
    distance = float(lpips(original, saved))
    seen = decoded_view(eye, original, saved, target, max(distance, 1e-3), 0)
    found = {"lpips": distance, "latent_remaining": seen["latent_remaining"], "decoded_shift": seen["decoded_shift"]}
    others = [extractor for extractor in own if extractor.sha256 != eye.sha256]
    if others:
        shifts = (decoded_view(e, original, saved, target, max(distance, 1e-3), 0)["decoded_shift"] for e in own)
        found["own_decoded_shift"] = min(shifts)
    return found | _changed(original, saved)


def changed(original: Tensor, saved: Tensor) -> dict[str, float]:
    """Figures of a picture that was protected elsewhere, whose target is not known."""
    return {"lpips": float(lpips(original, saved)), **_changed(original, saved)}


def _changed(original: Tensor, saved: Tensor) -> dict[str, float]:
    return {"ssim": float(ssim(original, saved)), **visible(original, saved)}
