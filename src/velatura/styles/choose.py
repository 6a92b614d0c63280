"""Which target style T: far enough from the artist's own, drawn at random, kept for a body of work.

Far enough in the style space (Glaze, section 5.1) is not far enough in what Ω paints: of some such styles, pictures
painted in them are still taken for the artist's, and no cloak gets farther than its target. So T is to lie far from the
artist as well in the numbers that steer Ω, the style vectors of the transfer network (docs/styles.md). What a cloak
makes of such a style within its budget differs as much, and only a trial tells: of a few that are drawn, the one is
kept whose trial goes farthest (protect/trial.py).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import platformdirs

from velatura.errors import ImageError, InputError
from velatura.images import save
from velatura.reports.result import to_json
from velatura.styles.catalogue import Catalogue, Style, slug

BAND = (50.0, 75.0)  # Glaze's: percentiles of distance in the style space
FAR = 50.0  # ours: beyond this percentile, the share ``DRAWN`` of all styles that Ω paints least like the artist
DRAWN = 0.25
TRIED = 8  # of these, drawn at random


@dataclass(frozen=True)
class Choice:
    """T and how it came about. ``ranking``: (style, distance, percentile, candidate?), nearest first."""

    style: Style
    distance: float
    reason: str
    centroid: list[float]
    ranking: list[tuple[str, float, float, bool]]


def centroid(rows: Sequence[Sequence[float]]) -> list[float]:
    """Mean of style numbers."""
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def choose(
    catalogue: Catalogue,
    place: Sequence[float],
    *,
    band: tuple[float, float] | None = None,
    seed: int = 0,
    name: str | None = None,
    reason: str = "",
    trial: Callable[[Style], float] | None = None,
) -> Choice:
    """Draw T for an artist whose pictures stand at ``place``: numbers of the style space, then a style vector.

    ``trial``: how far a style takes pictures; the best is kept of :data:`TRIED` that are drawn. None: one is drawn.

    ``band``: draw as Glaze does, from the styles whose distance lies between these percentiles; so it is done, too,
    where ``place`` has no style vector, and nothing is tried then. ``name`` overrides it all, ``reason`` says why.
    """
    vector = place[len(catalogue.numbers) :]
    if band is None and not vector:
        band = BAND
    ranked = catalogue.ranking(place)
    percentiles = [100 * (i + 0.5) / len(ranked) for i in range(len(ranked))]
    if band is not None:
        low, high = band
        if not 0 <= low < high <= 100:
            raise InputError(f"band: expected two percentiles 0 <= low < high <= 100, got {low:g}-{high:g}")
        candidates = [s for (_, s), p in zip(ranked, percentiles, strict=True) if low <= p <= high]
        where = f"styles in the {low:g}-{high:g} percentile band"
    else:
        far = [s for (_, s), p in zip(ranked, percentiles, strict=True) if p >= FAR]
        far.sort(key=lambda style: alike(style.vector, vector))
        candidates = far[: math.ceil(DRAWN * len(ranked))]
        where = "styles that are far from yours and painted least like it"
    # In a tiny catalogue no style may fall into the band: then the farthest is the nearest thing to "far enough".
    candidates = candidates or [ranked[-1][1]]
    if name is None:
        # By distance, so that the same seed draws the same style whatever order the candidates are found in.
        candidates = [s for _, s in ranked if s in candidates]
        count = min(TRIED, len(candidates))
        if trial is None or band is not None or count == 1:
            style = random.Random(seed).choice(candidates)
            reason = f"drawn with seed {seed} from {len(candidates)} {where}"
        else:
            tried = random.Random(seed).sample(candidates, count)
            style = max(tried, key=trial)
            reason = f"farthest in a trial of {count}, drawn with seed {seed} from {len(candidates)} {where}"
    else:
        style = catalogue.find(name)
    table = [(s.name, d, p, s in candidates) for (d, s), p in zip(ranked, percentiles, strict=True)]
    return Choice(style, catalogue.distance(place, style.centroid), reason, list(place), table)


def alike(a: Sequence[float], b: Sequence[float]) -> float:
    """Cosine of the angle between two style vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) / max(math.hypot(*a) * math.hypot(*b), 1e-12)


def _profiles() -> Path:
    root = os.environ.get("VELATURA_CONFIG") or platformdirs.user_config_dir("velatura", appauthor=False)
    return Path(root) / "artists"


LONGEST = 200  # bytes of a file's name; 255 are the most that file systems take


def _profile(artist: str) -> Path:
    key = slug(artist)
    if not key:
        raise InputError(f"artist: expected a name with letters or digits, got {artist!r}")
    # Names that differ in accents or signs only share a slug, not a profile.
    digest = sha256(artist.strip().casefold().encode()).hexdigest()[:8]
    short = key.encode()[:LONGEST].decode(errors="ignore")
    return _profiles() / f"{short}-{digest}.json"


def profiles() -> dict[str, str]:
    """The artists whose T is kept, by name, and its name; damaged ones are left out."""
    found = {}
    for path in sorted(_profiles().glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            tree = json.loads(path.read_text(encoding="utf-8"))
            found[str(tree["artist"])] = str(tree["style"])
    return found


def forget(artist: str) -> None:
    """Keep this artist's T no longer."""
    _profile(artist).unlink(missing_ok=True)


def remembered(artist: str) -> str | None:
    """Name of the style kept for this artist, if there is one."""
    path = _profile(artist)
    if not path.exists():
        return None
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["style"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: damaged artist profile; delete it to draw a new target style") from None


def remember(artist: str, choice: Choice, seed: int) -> Path:
    """Keep this artist's T in the user's configuration folder."""
    path = _profile(artist)
    profile = {"artist": artist, "style": choice.style.name, "seed": seed, "centroid": choice.centroid}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(to_json(profile).encode(), path)
    except (OSError, ImageError) as error:
        raise InputError(f"artist {artist!r}: cannot keep the profile ({error}); leave out --artist") from None
    return path
