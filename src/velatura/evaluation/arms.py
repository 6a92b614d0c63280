"""The arms of an experiment: what the mimic trains on. They differ in nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from velatura.countermeasures.detect import DETECTORS
from velatura.countermeasures.plugged import named
from velatura.countermeasures.settings import parse as parse_settings
from velatura.errors import InputError
from velatura.evaluation.methods import NO_BOUND, Method
from velatura.evaluation.plugged import method_names, method_of
from velatura.protection.settings import EFFORTS, flip_bound

PLAIN = ("base", "real", "clean")


@dataclass(frozen=True)
class Arm:
    """What a mimic trains on, and what it does about it.

    Attributes:
        method: one of :data:`~velatura.evaluation.methods.METHODS`, an installed package's or ``MODULE:FUNCTION``
            (``plugins.py``); ``base``, ``real`` or ``clean``; or a label, with a ``folder``.
        budget: LPIPS of the cloak, above 0 and up to 1; None where nothing is altered, or nobody said it.
        folder: pictures protected elsewhere, under the names of the originals.
        share: how much of the mimic's training set is protected, the rest being clean; above 0, and 1 is all.
        at: the cloak's effort; none: what the experiment says.
        on: the models that it is made on ("mimic": the mimic's own); none: what the experiment says.
        towards: T's name, or a part of it that no other has; none: as the experiment says or the method chooses.
        dropping: first of what the mimic does about it: the detector whose findings it leaves out.
        then: the countermeasure that its pictures go through before training, with its settings
            (``jpeg quality=50``).
        denoised: the countermeasure that the pictures go through which it generates.

    Raises:
        InputError: a part of it is unknown, or has no meaning beside another.
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
        known, row = (*PLAIN, *method_names()), self.row
        if self.folder is None and self.method not in PLAIN and row is None:
            expected = ", ".join(known)
            raise InputError(f"arm {self.method!r}: expected one of {expected}, MODULE:FUNCTION, or LABEL=FOLDER")
        if self.folder is not None and (self.method in known or not re.fullmatch(r"[\w.-]+", self.method)):
            raise InputError(
                f"arm {self.method!r}: that name has a meaning of its own or is no plain word; choose another for "
                f"{self.folder}"
            )
        if (row is not None or self.budget is not None) and not 0 < (self.budget or 0) <= 1:
            raise InputError(
                f"arm {self.method}: expected an LPIPS budget above 0 and up to 1, as in {self.method}:0.05"
            )
        if self.at and (row is None or not row.follows_effort):
            raise InputError(f"arm {self.method}: has no effort to choose, so expected nothing after 'at'")
        if self.at and self.at not in EFFORTS:
            raise InputError(f"effort: expected one of {', '.join(EFFORTS)}, got {self.at!r}")
        if self.on and (self.folder is not None or self.method in (*PLAIN, "noise")):
            raise InputError(f"arm {self.method}: is not made on a model, so expected nothing after 'on'")
        if self.towards and (self.folder is not None or self.method in (*PLAIN, "noise", "scattered")):
            raise InputError(f"arm {self.method}: has no target style of its own, so expected nothing after 'towards'")
        if self.countermeasures and self.method in ("base", "real"):
            raise InputError(f"arm {self.method}: trains on no pictures, so expected nothing after it")
        if self.dropping and self.dropping not in DETECTORS:
            raise InputError(f"detector {self.dropping!r}: expected one of {', '.join(DETECTORS)}")
        for words in filter(None, (self.then, self.denoised)):
            name, changes = countermeasure(words)
            parse_settings(named(name).settings, changes)  # refuses what it does not know

    @classmethod
    def parse(cls, text: str) -> Arm:
        """``clean``, ``noise:0.05``, ``velatura:0.1@0.5`` (half of the pictures), ``label=FOLDER``, ``mine:make:0.1``.

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
        method, colon, budget = label.strip().rpartition(":")
        if not colon:
            method, budget = budget, ""
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
    def row(self) -> Method | None:
        """All that is known of its method; None of arms whose pictures are not made here."""
        return None if self.folder is not None else method_of(self.method)

    @property
    def countermeasures(self) -> str:
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
    def untreated(self) -> Arm:
        """The arm whose protected pictures this one shares: all of them, as they were protected."""
        return replace(self, share=1.0, then="", dropping="", denoised="")

    @property
    def whole_set(self) -> Arm:
        """The arm whose treated pictures this one shares: all of them, and no other measure taken."""
        return replace(self, dropping="", denoised="")

    @property
    def kind(self) -> str:
        """The arm as results name it: one of ``reports.tables.ARMS``."""
        return self.method if self.method in (*PLAIN, "noise", "shuffled") else "cloaked"

    @property
    def label(self) -> str | None:
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
        method = self.method
        if ":" in method:  # a function's place: nothing of it that no folder's name may have, nor one that is hidden
            method = re.sub(r"[^\w.-]", "-", method).lstrip(".-")
        return f"{method}{budget}{effort}{self._on('-on-')}{share}{done}"

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


def visible_bound(arm: Arm, as_published: bool = False) -> float:
    """Bound on mean ꟻLIP of an arm's files: that of ``velatura protect``, for methods that have one.

    ``as_published``: of an effort at which ``velatura protect`` has no bound either.
    """
    row = arm.row
    if row is None or not row.bound or (as_published and row.as_product):
        return NO_BOUND
    return flip_bound(arm.budget or 0)
