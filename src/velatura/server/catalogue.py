"""What there is to choose from: styles with their swatches, models."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from velatura import weights
from velatura.server.schema import ModelOut, StyleOut

STATIC = Path(__file__).parent / "static"
SWATCH, COLUMNS = 96, 16  # px, and how many in a row; training/paint_swatches.py makes the sheet
NEIGHBOURS = 3


@lru_cache(maxsize=1)
def styles() -> list[StyleOut]:
    """All styles of the embedded catalogue, by movement and then name."""
    from velatura.styles.catalogue import load

    book = load()
    found = []
    for style in book.styles:
        near = [other.name for _, other in book.ranking(style.centroid) if other.name != style.name][:NEIGHBOURS]
        facts = {name: getattr(style, name) for name in ("name", "artist", "movement", "dates")}
        found.append(StyleOut(**facts, nearest=near, swatch=style.name in _swatches()))
    return sorted(found, key=lambda style: (style.movement or "~", style.name))


@lru_cache(maxsize=1)
def _swatches() -> list[str]:
    names: list[str] = json.loads((STATIC / "swatches.json").read_text(encoding="utf-8"))
    return names


@lru_cache(maxsize=256)
def swatch(name: str) -> bytes | None:
    """WebP, cut from the sheet of all of them; None for a style that has none."""
    from velatura.images.libvips import pyvips

    if name not in _swatches():
        return None
    sheet = pyvips.Image.new_from_file(str(STATIC / "swatches.webp"))
    row, column = divmod(_swatches().index(name), COLUMNS)
    data: bytes = sheet.crop(SWATCH * column, SWATCH * row, SWATCH, SWATCH).webpsave_buffer(Q=80)
    return data


def models() -> list[ModelOut]:
    """The models of the table that a cloak can be made against."""
    found = []
    for model in weights.MODELS:
        if model.class_name is not None:
            facts = {name: getattr(model, name) for name in ("name", "kind", "notes", "licence")}
            found.append(ModelOut(**facts, here=weights.locate(model.name) is not None))
    return found
