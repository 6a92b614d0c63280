"""What is told of a protected picture, as data: measured on the file as written, not on what was optimised."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from velatura import __version__
from velatura.cloaks import GlazeSettings
from velatura.images import Artwork, opacity
from velatura.images.artwork import printable
from velatura.images.kinds import Kind, growth
from velatura.perception.pixels import share_left
from velatura.protection.frame import Frame
from velatura.protection.publishing import after_platform, notes
from velatura.protection.views import FamilyView, as_report
from velatura.protection.visibility import visible
from velatura.reports import verdict
from velatura.reports.checks import flags
from velatura.reports.verdict import Verdict
from velatura.styles.choose import Choice

if TYPE_CHECKING:
    from velatura.protection.protector import Protector


@dataclass(frozen=True)
class Made:
    """Everything that was made of one picture; tensors at the working resolution, of what was worked on."""

    framed: Frame
    data: bytes
    saved_file: Artwork
    original: Tensor
    target: Tensor
    saved: Tensor
    delta: Tensor
    choice: Choice
    families: Mapping[str, FamilyView]
    figures: dict[str, float | None]


class Clock:
    """Seconds that each part took."""

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, what: str) -> None:
        now = time.perf_counter()
        self.seconds[what] = now - self.last
        self.last = now


def told(protector: Protector, made: Made, *, recipe: GlazeSettings, clock: Clock) -> dict[str, Any]:
    """The report of a cloaked picture."""
    s, artwork = protector.settings, made.framed.whole
    scale = made.figures["delta_scale"] or 0.0
    shown = opacity(made.framed.inside, s.working)
    shown = None if shown is None else shown.to(made.saved.device)
    figures: dict[str, Any] = {**made.figures, **visible(made.original, made.saved, shown)}
    delta = made.delta if shown is None else shown.to(made.delta.device) * made.delta
    figures["jod_lost"] = verdict.jod_lost(figures["flip"], figures["lpips"], colourless=made.framed.kind.colourless)
    figures["delta_kept"] = float(share_left(made.original, made.original + scale * delta, made.saved))
    figures |= {"bytes_before": artwork.source_bytes, "bytes_after": len(made.data)}
    published = None
    if (platform := s.delivery.platform) is not None:
        image = made.saved_file.image
        published = after_platform(
            platform, image, made.framed.within, made.original, made.saved, made.target, protector.extractors
        )
    found = _common(protector, artwork, made.framed.kind, made.data, [e.name for e in protector.extractors])
    return _judged(found | {
        "figures": figures,
        "families": as_report(made.families),
        "view": _seen_by(protector),
        "platform": published,
        "flags": [] if not scale else flags(
            budget=s.budget,
            lpips=max(figures["lpips"], figures["lpips_crops"] or 0.0),
            scale=scale,
            flip=figures["flip"],
            flip_budget=s.visible(made.framed.kind),
        ),
        "notes": notes(artwork, figures, published, expected=growth(made.framed.inside)),
        "settings": found["settings"] | {"method": "glaze", "cloak": asdict(recipe)},
        "style": {
            "name": made.choice.style.name,
            "artist": made.choice.style.artist,
            "distance": made.choice.distance,
            "reason": made.choice.reason,
            "ranking": [list(row) for row in made.choice.ranking],
        },
        "weights": protector.weights(),
        "device": protector.device,
        "precision": protector.ways,
        "torch": torch.__version__,
        "seconds": clock.seconds | {"total": clock.last - clock.began},
    })  # fmt: skip


def of_copy(protector: Protector, artwork: Artwork, data: bytes, kind: Kind) -> dict[str, Any]:
    """The report of a file that was not cloaked: at intensity 0, or since there is nothing to protect."""
    sizes = {"bytes_before": artwork.source_bytes, "bytes_after": len(data)}
    return _judged(_common(protector, artwork, kind, data, []) | {
        "figures": {"lpips": 0.0, "flip": 0.0, "jod_lost": 0.0, "delta_scale": 0.0, **sizes},
        "families": {},
        "view": None,
        "platform": None,
        "flags": [],
        "notes": list(artwork.notes),
        "style": None,
        "weights": {},
        "seconds": {"total": 0.0},
    })  # fmt: skip


def verdict_of(report: Mapping[str, Any]) -> Verdict:
    """The verdict that stands in a report."""
    return Verdict(**report["verdict"])


def _judged(report: dict[str, Any]) -> dict[str, Any]:
    return report | {"verdict": asdict(verdict.verdict(report))}


def _common(protector: Protector, artwork: Artwork, kind: Kind, data: bytes, models: Sequence[str]) -> dict[str, Any]:
    s = protector.settings
    catalogue = printable(Path(s.catalogue.name)) if s.catalogue else None
    return {
        "velatura": __version__,
        "source": {
            "name": printable(Path(artwork.path.name)) if artwork.path else "bytes",
            "format": artwork.format,
            "width": artwork.width,
            "height": artwork.height,
            "bits": artwork.bits,
        },
        "kind": {"name": kind.name, "grey": kind.grey, "transparent": kind.transparent, "nothing": kind.nothing},
        "output_sha256": sha256(data).hexdigest(),
        "models": list(models),
        "unknown": verdict.unknown(models),
        "settings": asdict(s) | {"catalogue": catalogue},
        "settings_fingerprint": s.fingerprint(),
    }


def _seen_by(protector: Protector) -> str:
    """Whose view the sheet shows, in words."""
    first = protector.extractors[0]
    return "Stable Diffusion 1 and 2" if first.name == "surrogate" else first.name
