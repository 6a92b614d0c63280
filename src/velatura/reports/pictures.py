"""Contact sheets for a page: what each mimic painted, prompt by prompt; if asked for, also what it learned from.

An evaluation leaves ``pictures.json`` in its output folder: which arm's pictures lie where. A result that was copied
elsewhere has none beside it, so no picture, and no real art, gets into a page that is made from committed results.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from pathlib import Path
from textwrap import wrap
from typing import Any

from PIL import Image, ImageDraw

from velatura.errors import InputError
from velatura.reports.sheet import BACKGROUND, FAINT, GAP, INK, write

NAME = "pictures.json"
SHOWN = 8  # rows of a sheet
SIDE = 176  # px, longest
LETTER = 7  # px of an arm's name, on the average


@dataclass(frozen=True)
class Sheet:
    """Columns side by side; each row has a caption and one picture a column, as ``data:`` addresses (None: missing)."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str | None, ...]], ...]


def sheets(folder: Path, *, art: bool = False) -> list[Sheet]:
    """The sheets of an evaluation's output folder, none where there is no ``pictures.json``.

    One a recipe, of the first seed: a row is one prompt and one seed of the noise. ``art``: the artist's own pictures
    too, untouched and as protected.
    """
    index = index_of(folder)
    if index is None:
        return []
    arms: list[dict[str, Any]] = index["arms"]
    found = []
    for recipe in dict.fromkeys(arm["recipe"] for arm in arms):
        same = [arm for arm in arms if arm["recipe"] == recipe]
        first = [arm for arm in same if arm["seed"] == same[0]["seed"]]
        heading = f"What the mimics painted ({recipe}, seed {same[0]['seed']})"
        found.append(_sheet(folder, heading, first, index["prompts"][recipe], "{:04}.png"))
    if art and index["art"]:
        found.append(_art(folder, index))
    return found


def drawn(found: Sequence[Sheet]) -> bytes:
    """JPEG of sheets, one below the other: a column an arm, a row a prompt."""
    shown = [[[_opened(address) for address in cells] for _, cells in sheet.rows] for sheet in found]
    side = max((max(x.size) for rows in shown for cells in rows for x in cells if x is not None), default=SIDE)
    cell, line = max(side, 120) + GAP, 20  # arms' names need some room
    named = [[wrap(label, (cell - GAP) // LETTER) for label in sheet.columns] for sheet in found]
    head = 44 + line * max((len(words) for labels in named for words in labels), default=1)
    heights = [head + len(sheet.rows) * (cell + line) + GAP for sheet in found]
    page = Image.new("RGB", (GAP + cell * max(len(sheet.columns) for sheet in found), sum(heights)), BACKGROUND)
    draw = ImageDraw.Draw(page)
    for top, sheet, rows, labels in zip(accumulate(heights, initial=0), found, shown, named, strict=False):
        write(draw, (GAP, top + GAP), sheet.heading, INK, 18)
        for i, words in enumerate(labels):
            write(draw, (GAP + i * cell, top + head - line * len(words)), "\n".join(words), INK, 13)
        for row, ((caption, _), cells) in enumerate(zip(sheet.rows, rows, strict=True)):
            y = top + head + row * (cell + line)
            write(draw, (GAP, y), caption, FAINT, 13)
            for i, picture in enumerate(cells):
                if picture is not None:
                    page.paste(picture, (GAP + i * cell, y + line))
    out = io.BytesIO()
    page.save(out, "JPEG", quality=85, comment=b"velatura report")
    return out.getvalue()


def _opened(address: str | None) -> Image.Image | None:
    return None if address is None else Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def index_of(folder: Path) -> dict[str, Any] | None:
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for arm in tree["arms"]:
            _ = arm["recipe"], arm["seed"], arm["folder"], arm["label"], tree["prompts"][arm["recipe"]]
        _ = tree["art"], tree["protected"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected what velatura lab evaluate wrote there, got {error!r}") from None
    return tree


def _sheet(folder: Path, heading: str, arms: Sequence[dict[str, Any]], prompts: Sequence[str], name: str) -> Sheet:
    count = min(SHOWN, len(prompts))
    rows = []
    for place in (i * len(prompts) // count for i in range(count)):
        cells = tuple(_inlined(folder / arm["folder"] / name.format(place)) for arm in arms)
        rows.append((prompts[place], cells))
    return Sheet(heading, tuple(arm["label"] for arm in arms), tuple(rows))


def _art(folder: Path, index: dict[str, Any]) -> Sheet:
    originals = [Path(path) for path in index["art"]]
    protected = index["protected"]
    rows = []
    for path, name in list(zip(originals, file_names(originals), strict=True))[:SHOWN]:
        altered = [_inlined(folder / arm["folder"] / name) for arm in protected]
        rows.append((path.stem, (_inlined(path), *altered)))
    labels = ("untouched", *(arm["label"] for arm in protected))
    return Sheet("The art that they learned from", labels, tuple(rows))


def file_names(paths: Sequence[Path]) -> list[str]:
    """What each picture is called in the folders of an experiment: ``NAME.png``, a second one ``NAME-2.png``.

    Pictures come from several folders and in several formats; upper case does not tell them apart everywhere.
    """
    taken: set[str] = set()
    found = []
    for path in paths:
        tries = (f"{path.stem}{'' if i == 1 else f'-{i}'}.png" for i in count(1))
        name = next(one for one in tries if one.casefold() not in taken)
        taken.add(name.casefold())
        found.append(name)
    return found


def _inlined(path: Path) -> str | None:
    """A small JPEG as an address that needs no file; None where the picture is missing or cannot be read."""
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=88, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
