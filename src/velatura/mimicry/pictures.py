"""Generated pictures as files: PNG with what they were made from, and contact sheets."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from velatura.mimicry.generate import Made

MOST = 48


def to_png(made: Made) -> bytes:
    """PNG bytes; prompt and seed stand in its text chunks, as other tools write them."""
    info = PngInfo()
    info.add_itxt("parameters", f"{made.prompt}\nSeed: {made.seed}")
    info.add_text("Software", "velatura mimic")
    array = (made.picture[0].permute(1, 2, 0) * 255).round().byte().numpy()
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def contact_sheet(paths: Sequence[Path], *, columns: int = 8, cell: int = 128) -> bytes:
    """PNG bytes of up to 48 pictures, evenly picked, in rows."""
    picked = [paths[i * len(paths) // min(MOST, len(paths))] for i in range(min(MOST, len(paths)))]
    rows = -(-len(picked) // columns)
    page = Image.new("RGB", (columns * (cell + 4) + 4, rows * (cell + 4) + 4), (250, 249, 246))
    for i, path in enumerate(picked):
        with Image.open(path) as picture:
            small = picture.convert("RGB")
        small.thumbnail((cell, cell), Image.Resampling.LANCZOS)
        page.paste(small, (4 + i % columns * (cell + 4), 4 + i // columns * (cell + 4)))
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()
