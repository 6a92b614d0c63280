"""The sheet: one PNG that shows what was done to a picture, for people who would rather look than read."""

from __future__ import annotations

import contextlib
import io
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]  # (H, W, 3)

GAP, BACKGROUND, INK, FAINT = 16, (250, 249, 246), (30, 30, 30), (110, 110, 110)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, of this height in px."""
    return ImageFont.load_default(size)


def legible(text: str) -> str:
    """Letters without their marks where Pillow's font would draw an empty box: Durer, not D▯rer.

    Of other scripts the boxes stay: the reports have the names as they are.
    """
    return "".join(map(_drawable, unicodedata.normalize("NFC", text)))


@lru_cache(maxsize=4096)
def _drawable(letter: str) -> str:
    if letter.isascii() or _shape(letter) != _shape("\uffff"):
        return letter
    with contextlib.suppress(ValueError, KeyError):  # no name; no such letter
        return unicodedata.lookup(unicodedata.name(letter).partition(" WITH ")[0])
    return letter


def _shape(letter: str) -> bytes:
    return bytes(font(16).getmask(letter))


def write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, ink: tuple[int, int, int], size: int) -> None:
    """Text on a page, ``size`` px high, its upper left corner at ``place``."""
    draw.text(place, legible(text), ink, font(size))


def sheet(panels: Sequence[tuple[str, Pixels]], *, title: str, lines: Sequence[str], columns: int = 3) -> bytes:
    """PNG bytes: a title, lines of text, then captioned panels in rows of ``columns``, each fitted into 480 px."""
    pictures = [(caption, _fitted(pixels, 480)) for caption, pixels in panels]
    cell_w = max(picture.width for _, picture in pictures)
    cell_h = max(picture.height for _, picture in pictures) + 26
    width = columns * (cell_w + GAP) + GAP
    wrapped = [part for line in lines for part in wrap(line, max(20, (width - 2 * GAP) // 8))]
    top = GAP + 32 + 21 * len(wrapped) + GAP // 2
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (width, top + rows * (cell_h + GAP)), BACKGROUND)
    draw = ImageDraw.Draw(page)
    write(draw, (GAP, GAP), title, INK, 22)
    for i, line in enumerate(wrapped):
        write(draw, (GAP, GAP + 32 + 21 * i), line, FAINT, 15)
    for i, (caption, picture) in enumerate(pictures):
        left, y = GAP + (i % columns) * (cell_w + GAP), top + (i // columns) * (cell_h + GAP)
        write(draw, (left, y), caption, INK, 16)
        page.paste(picture, (left, y + 24))
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()


def _fitted(pixels: Pixels, side: int) -> Image.Image:
    picture = Image.fromarray(pixels)
    scale = side / max(picture.size)
    if scale < 1:
        picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), 3)
    return picture


def amplified(difference: NDArray[np.float32], gain: float) -> Pixels:
    """A signed difference ``(H, W, 3)`` in units of the [0, 1] picture, times ``gain``, around mid grey."""
    pixels: Pixels = (np.clip(0.5 + gain * difference, 0, 1) * 255).round().astype(np.uint8)
    return pixels
