"""The style catalogue: numbers about styles, no pictures. Built from folders, embedded for the shared artists."""

from __future__ import annotations

import csv
import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from velatura import weights
from velatura.diffusion.extractors import Extractor
from velatura.errors import InputError, VelaturaError, WeightsError
from velatura.images import Artwork, read, save, working
from velatura.images.formats import SUFFIXES
from velatura.reports.result import to_json
from velatura.styles import space, transfer


@dataclass(frozen=True)
class Style:
    """One style. ``vector``: 100 numbers for the transfer network; ``centroid``, ``spread``: ``space.NUMBERS``."""

    name: str
    artist: str
    movement: str
    dates: str
    licence: str
    pictures: int
    vector: list[float]
    centroid: list[float]
    spread: list[float]


@dataclass(frozen=True)
class Catalogue:
    """Styles and the scale that makes distances: the pooled spread within a style."""

    styles: list[Style]
    scale: list[float]
    numbers: list[str] = field(default_factory=lambda: list(space.NUMBERS))
    short_side: int = space.SHORT_SIDE
    extractor: str = ""

    def find(self, name: str) -> Style:
        """The style of this name, or of the only name that ends with it or contains it."""
        key = slug(name)
        for fits in (str.__eq__, str.endswith, str.__contains__):
            matches = [style for style in self.styles if fits(style.name, key)]
            if matches:
                break
        if len(matches) != 1:
            near = ", ".join(style.name for style in matches[:6]) or "none; see: velatura styles list"
            raise InputError(f"style {name!r}: expected the name of one style, found {near}")
        return matches[0]

    def distance(self, a: Sequence[float], b: Sequence[float]) -> float:
        """Distance of two places of the style space, in usual spreads within one artist."""
        a, b = (place[: len(self.numbers)] for place in (a, b))  # a style vector may follow
        return space.distance(a, b, self.scale)

    def ranking(self, centroid: Sequence[float]) -> list[tuple[float, Style]]:
        """All styles with their distance, nearest first."""
        return sorted(((self.distance(centroid, s.centroid), s) for s in self.styles), key=lambda pair: pair[0])

    def save(self, path: Path) -> None:
        save(to_json(asdict(self)).encode(), path)


def load(path: Path | None = None) -> Catalogue:
    """A catalogue file, or the embedded one. Refused where it was built with other features than the present ones."""
    path = path or weights.embedded("styles")
    catalogue = _load(path)
    here = (space.NUMBERS, space.SHORT_SIDE, weights.sha256(weights.embedded(space.MODEL)))
    if (catalogue.numbers, catalogue.short_side, catalogue.extractor) != here or not catalogue.styles:
        raise WeightsError(f"{path}: empty, or built with another autoencoder; run `velatura styles build` again")
    return catalogue


@lru_cache(maxsize=4)
def _load(path: Path) -> Catalogue:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return Catalogue(**{**tree, "styles": [Style(**s) for s in tree["styles"]]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: not a style catalogue ({error}); build one with `velatura styles build`") from None


def slug(name: str) -> str:
    """Lower case, letters and digits of any script, hyphens between."""
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", name).casefold()).strip("-")


@dataclass(frozen=True)
class Source:
    """The pictures that a style is measured on."""

    name: str
    paths: list[Path]
    artist: str = ""
    movement: str = ""
    dates: str = ""
    licence: str = ""


def sources(folders: Sequence[Path], works: Sequence[Path] = (), facts: Path | None = None) -> list[Source]:
    """One style for each sub-folder of ``folders`` and each picture in ``works``.

    A MANIFEST.csv (path, artist, title, year_or_dates, license) beside or above a folder fills in artist, dates and
    licence; ``facts`` (CSV: name, movement) the movement.
    """
    movements = {}
    if facts is not None:
        with facts.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if not all(row.keys() >= {"name", "movement"} for row in rows):
            raise InputError(f"{facts}: expected a table (CSV) with the columns name and movement")
        movements = {row["name"]: row["movement"] for row in rows}
    groups: list[tuple[str, list[Path]]] = []
    for folder in folders:
        for child in sorted(p for p in folder.iterdir() if p.is_dir()):
            groups.append((slug(child.name), _pictures(child)))
    for folder in works:
        groups += [(slug(path.stem), [path]) for path in _pictures(folder)]
    found: list[Source] = []
    taken: set[str] = set()
    for plain, paths in groups:
        if not paths:
            continue
        # Of two styles of one name neither could be asked for.
        name = next(n for i in itertools.count(1) if (n := plain if i == 1 else f"{plain}-{i}") not in taken)
        taken.add(name)
        row = _manifest_row(paths[0])
        artist = row.get("artist") or plain.replace("-", " ").title()
        dates = row.get("year_or_dates", "")
        lifetime = re.search(r"\(artist ([^)]*)\)", dates)
        dates = (lifetime.group(1) if lifetime else "") if len(paths) > 1 else dates
        licence = row.get("license", "").split(";")[0]
        found.append(Source(name, paths, artist, movements.get(name) or movements.get(plain, ""), dates, licence))
    if not found:
        raise InputError(f"expected folders of pictures, one an artist, in {', '.join(map(str, [*folders, *works]))}")
    return found


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def _manifest_row(path: Path) -> dict[str, str]:
    for parent in path.parents[:4]:
        if (parent / "MANIFEST.csv").is_file():
            return _manifest(parent / "MANIFEST.csv").get(path.relative_to(parent).as_posix(), {})
    return {}


@lru_cache(maxsize=4)
def _manifest(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file) if row.get("path")}  # others' tables say nothing here


def build(
    groups: Sequence[Source],
    extractor: Extractor,
    journal: Path,
    *,
    on_picture: Callable[[int, int, Path, str | None], None] | None = None,
) -> Catalogue:
    """Measure every picture, one at a time, and sum up by style.

    ``journal`` (JSON lines) remembers pictures already measured, so that a stopped run continues; it belongs to one
    extractor. ``on_picture(done, total, path, error)`` is called after each; raise ``Cancelled`` there to stop. A
    picture that cannot be read is left out.
    """
    known = dict(_journal(journal, extractor.sha256))
    total = sum(len(group.paths) for group in groups)
    done = 0
    styles, deviations = [], []
    with journal.open("a", encoding="utf-8") as log:
        print(file=log)  # a killed run may have left half a line
        for group in groups:
            rows = []
            for path in group.paths:
                done += 1
                error = None
                try:
                    about = path.stat()
                    key = f"{path.resolve()}|{about.st_size}|{about.st_mtime_ns}"
                    if key not in known:
                        known[key] = list(measure(read(path), extractor))
                        line = {"key": key, "extractor": extractor.sha256, "row": known[key]}
                        print(json.dumps(line), file=log, flush=True)
                    rows.append(known[key])
                except (VelaturaError, OSError) as unreadable:
                    error = str(unreadable)
                if on_picture is not None:
                    on_picture(done, total, path, error)
            if rows:
                styles.append(_sum_up(group, rows))
                if len(rows) > 1:
                    numbers = torch.tensor([row[1] for row in rows])
                    deviations.append((numbers - numbers.mean(0)) * (len(rows) / (len(rows) - 1)) ** 0.5)
    if not styles:
        raise InputError("no style could be measured: none of the pictures can be read")
    scale = torch.cat(deviations).std(0).clamp_min(1e-3).tolist() if deviations else [1.0] * len(space.NUMBERS)
    styles = [s if s.pictures > 1 else Style(**{**asdict(s), "spread": scale}) for s in styles]
    return Catalogue(sorted(styles, key=lambda s: s.name), scale, extractor=extractor.sha256)


def measure(artwork: Artwork, extractor: Extractor) -> tuple[list[float], list[float]]:
    """A picture's style vector, and its numbers in the style space (``extractor`` is ``space.MODEL``)."""
    small, larger = (working(artwork, side).to(extractor.device) for side in (space.SHORT_SIDE, transfer.READ_SIDE))
    return transfer.style_vector(larger)[0].tolist(), space.style_numbers(small, extractor)[0].tolist()


def _sum_up(group: Source, rows: list[list[list[float]]]) -> Style:
    vectors, numbers = (torch.tensor([row[i] for row in rows]) for i in range(2))
    spread = numbers.std(0).tolist() if len(rows) > 1 else []
    facts = {"artist": group.artist, "movement": group.movement, "dates": group.dates, "licence": group.licence}
    mean = {"vector": vectors.mean(0).tolist(), "centroid": numbers.mean(0).tolist(), "spread": spread}
    return Style(name=group.name, pictures=len(rows), **facts, **mean)  # type: ignore[arg-type]


def _journal(path: Path, extractor: str) -> Iterator[tuple[str, list[list[float]]]]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the last line of a killed run
                continue
            if entry["extractor"] == extractor:
                yield entry["key"], entry["row"]
