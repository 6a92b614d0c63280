"""What a person can choose, checked once and in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256

from velatura.cloaks import GlazeSettings
from velatura.errors import InputError
from velatura.styles.choose import BAND

# Steps, Adam's rate, decay. "paper" is the published re-implementation's; the short ones were tuned on Kate Greenaway
# and Ivan Aivazovsky (benchmarks/tune_effort.py) to be nearly as far at a tenth of the steps.
EFFORTS: Mapping[str, tuple[int, float, bool]] = {
    "fast": (20, 0.02, True),
    "default": (50, 0.02, True),
    "max": (200, 0.015, True),
    "paper": (500, 0.01, False),
}
METHODS = ("glaze",)


@dataclass(frozen=True)
class Settings:
    """How to protect.

    budget: LPIPS (AlexNet) between original and saved file. models: names, hub ids or paths of the models to cloak
    against; "auto" is the best on disk. resolutions: short sides (px) that mimics train at; the largest is the cloak's
    working resolution. style: force T by name. artist: keep T for this artist. band: percentiles of distance within
    which T is drawn. painter: None for the embedded Ω, or hub id or folder of a diffusers img2img pipeline,
    with its strength (0 to 1), guidance scale and steps (the defaults are the published re-implementation's).
    """

    budget: float = 0.1
    effort: str = "default"
    models: tuple[str, ...] = ("auto",)
    resolutions: tuple[int, ...] = (512,)
    seed: int = 0
    style: str | None = None
    artist: str | None = None
    band: tuple[float, float] = BAND
    painter: str | None = None
    painter_strength: float = 0.5
    painter_guidance: float = 7.5
    painter_steps: int = 30
    device: str = "auto"
    offline: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.budget <= 1:
            raise InputError(f"intensity: expected an LPIPS budget above 0 and up to 1, got {self.budget}")
        if self.effort not in EFFORTS:
            raise InputError(f"effort: expected one of {', '.join(EFFORTS)}, got {self.effort!r}")
        if not self.models:
            raise InputError("model: expected one name or more, got none")
        wrong = [side for side in self.resolutions if not 64 <= side <= 2048 or side % 8]
        if wrong or not self.resolutions:
            raise InputError(
                f"resolution: expected multiples of 8 between 64 and 2048 px, got {list(self.resolutions)}"
            )

    @property
    def working(self) -> int:
        """Short side (px) at which δ is optimised."""
        return max(self.resolutions)

    @property
    def steps(self) -> int:
        return EFFORTS[self.effort][0]

    def cloak(self) -> GlazeSettings:
        steps, rate, decay = EFFORTS[self.effort]
        several = self.resolutions if len(self.resolutions) > 1 else ()
        return GlazeSettings(self.budget, steps=steps, learning_rate=rate, decay=decay, resolutions=several)

    def fingerprint(self) -> str:
        """Changes with anything that changes the protected picture: a re-run with another one does not skip."""
        kept = {k: v for k, v in asdict(self).items() if k not in ("device", "offline")}
        return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
