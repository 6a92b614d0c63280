"""The record of one picture: its pixels as they are in the file, and what is needed to write it back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from velatura.images.libvips import pyvips

Format = Literal["png", "jpeg", "webp", "tiff"]


@dataclass(frozen=True, eq=False)  # images compare pixel by pixel, so equality of records would mean nothing
class Artwork:
    """What :func:`velatura.images.read` found.

    ``image`` is upright (EXIF orientation applied, its tag set back) and otherwise untouched: the file's own colour
    values, bit depth, alpha and metadata. It is decoded once and then held by libvips, in memory or, beyond 100 MB,
    in a temporary file.
    """

    path: Path | None
    format: Format
    image: pyvips.Image
    width: int
    height: int
    bits: int  # 8 or 16
    grey: bool
    alpha: bool
    icc: bytes | None = field(repr=False)
    source_bytes: int
    quality: int | None = None  # of a JPEG, estimated from its quantisation tables
    lossless: bool = True  # how the file stores pixels: False for JPEG and for lossy WebP
    compression: str | None = None  # of a TIFF, in libvips' words
    png_colour: bytes = field(default=b"", repr=False)  # PNG chunks on what values mean, which libvips drops

    @property
    def name(self) -> str:
        return printable(self.path) if self.path else "the picture"


def printable(path: Path) -> str:
    """A path as one printable line, whatever bytes the file system allowed in it."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
