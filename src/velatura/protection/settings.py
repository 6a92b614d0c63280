"""What a person can choose, checked once and in one place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from velatura import weights
from velatura.cloaks import GlazeSettings
from velatura.cloaks.instant import TAUGHT_ON
from velatura.errors import InputError
from velatura.images import Delivery
from velatura.images.kinds import Kind
from velatura.styles.choose import BAND

# "paper" is the published re-implementation's recipe. The short ones keep to what eyes see (ꟻLIP) while they run, to
# LPIPS at the end; they were chosen on the tuning artists (benchmarks/tune_cloak.py).
SHORT = GlazeSettings(
    alpha=5, alpha_from=0.3, steps=12, learning_rate=0.02, decay=True, beta2=0.9, gamma_start=0.05, gamma=2, mask=1.0,
    smooth=True, detail=0.5,
)  # fmt: skip
EFFORTS: Mapping[str, GlazeSettings] = {
    "fast": replace(SHORT, steps=6),
    "default": SHORT,
    "max": replace(SHORT, steps=60, learning_rate=0.01),
    "paper": GlazeSettings(),
}
COLOURLESS = 0.8  # of the bound on ꟻLIP
CLOSEST = 2  # times the working resolution: the largest size at which visibility is bounded. Screens show 1080 px or so


def flip_bound(budget: float, kind: Kind | None = None) -> float:
    """Mean ꟻLIP that goes with an LPIPS budget: 0.088, 0.125 and 0.149 at the three intensities.

    Pictures in grey or in one hue have four fifths of that: a viewer sees a change of lightness more. Set by what
    ColorVideoVDP said of twenty pictures (results/visibility.json), and by nothing else.
    """
    usual = 0.125 * math.pow(budget / 0.1, 1 / 2 if budget <= 0.1 else 1 / 4)
    return COLOURLESS * usual if kind is not None and kind.colourless else usual


@dataclass(frozen=True)
class Settings:
    """How to protect.

    budget: LPIPS (AlexNet) between original and saved file; 0 writes an uncloaked copy. flip: how much of the change a
    viewer may see (mean ꟻLIP of the saved file, ``perception.flip``); None: what goes with the budget, or, at effort
    "paper", no bound, as published. models: names, hub ids or paths of the models to cloak against; "auto" is, for each
    family of ``against``, the autoencoder that was pulled, else the surrogate. against: model families that mimics use
    (``weights.FAMILIES``). resolutions: short sides (px) that mimics
    train at; the largest is the cloak's working resolution; none: the models' own, at least 512. style: force T by
    name. artist: keep T for this artist. catalogue: of target styles, or the embedded one. band: draw T as Glaze does,
    between these percentiles of distance; None: as we do (styles/choose.py). painter: None for the embedded Ω, or hub
    id or folder of a diffusers img2img pipeline, with its strength (0 to 1), guidance scale and steps (the defaults are
    the published re-implementation's). page: of files that hold several, from 1. delivery: the file's format, size and
    metadata.
    """

    budget: float = 0.1
    flip: float | None = None
    effort: str = "default"
    models: tuple[str, ...] = ("auto",)
    against: tuple[str, ...] = weights.FAMILIES
    resolutions: tuple[int, ...] = ()
    seed: int = 0
    style: str | None = None
    artist: str | None = None
    catalogue: Path | None = None
    band: tuple[float, float] | None = None
    painter: str | None = None
    painter_strength: float = 0.5
    painter_guidance: float = 7.5
    painter_steps: int = 30
    device: str = "auto"
    offline: bool = True
    page: int | None = None
    delivery: Delivery = field(default_factory=Delivery)

    def __post_init__(self) -> None:
        if isinstance(self.catalogue, str):
            object.__setattr__(self, "catalogue", Path(self.catalogue))
        for name in ("models", "against", "resolutions", "band"):  # a list, as JSON and people have it, has no hash
            if isinstance(given := getattr(self, name), list):
                object.__setattr__(self, name, tuple(given))
        if not 0 <= self.budget <= 1:
            raise InputError(f"intensity: expected an LPIPS budget between 0 and 1, got {self.budget}")
        if self.flip is not None and not 0 < self.flip <= 1:
            raise InputError(f"flip: expected a mean ꟻLIP above 0 and up to 1, got {self.flip}")
        if not self.against or set(self.against) - set(weights.FAMILIES):
            raise InputError(f"against: expected some of {', '.join(weights.FAMILIES)}, got {list(self.against)}")
        if self.effort not in EFFORTS:
            raise InputError(f"effort: expected one of {', '.join(EFFORTS)}, got {self.effort!r}")
        if isinstance(self.models, str) or not self.models:
            raise InputError(f"models: expected a tuple of one name or more, got {self.models!r}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed: expected a number from 0 to 2**63 - 1, got {self.seed}")
        wrong = [side for side in self.resolutions if not 64 <= side <= 2048 or side % 8]
        if wrong:
            raise InputError(
                f"resolution: expected multiples of 8 between 64 and 2048 px, got {list(self.resolutions)}"
            )

    @property
    def working(self) -> int:
        """Short side (px) at which δ is optimised."""
        return max(self.resolutions, default=512)

    @property
    def steps(self) -> int:
        return EFFORTS[self.effort].steps

    @property
    def as_published(self) -> bool:
        """Whether all is as in Glaze's paper: T from a band, δ from nothing, LPIPS alone, one resolution."""
        return self.effort == "paper"

    @property
    def drawn_from(self) -> tuple[float, float] | None:
        """The band that T is drawn from: as published, Glaze's."""
        return self.band or (BAND if self.as_published else None)

    def visible(self, kind: Kind | None = None) -> float | None:
        """The bound on mean ꟻLIP for a kind of picture; as published, there is none."""
        return self.flip or (None if self.as_published else flip_bound(self.budget, kind))

    def cloak(self) -> GlazeSettings:
        several = self.resolutions if len(self.resolutions) > 1 and not self.as_published else ()
        return replace(EFFORTS[self.effort], budget=self.budget, flip=self.visible(), resolutions=several)

    def fingerprint(self) -> str:
        """Changes with anything that changes the protected picture: a re-run with another one does not skip."""
        kept = {k: v for k, v in asdict(self).items() if k not in ("device", "offline")} | asdict(self.cloak())
        kept |= {"closest": CLOSEST, "colourless": COLOURLESS}
        if contents := self._contents():
            kept |= {"contents": contents}
        return sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _contents(self) -> dict[str, str]:
        """Digests of what may be another at the same path: models that the table does not have, the catalogue, the
        instant cloak where it has a part."""
        others = [name for name in self.models if name != "auto" and weights.lookup(name) is None]
        paths = {name: place for name in others if (place := weights.locate(name)) is not None}
        if self.catalogue is not None and self.catalogue.is_file():
            paths["catalogue"] = self.catalogue
        if self.models == (TAUGHT_ON,) and not self.as_published:  # cloaks on it begin from the instant one
            paths["instant"] = weights.embedded("instant")
        return {name: weights.sha256(place) for name, place in paths.items()}
