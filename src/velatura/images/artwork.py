"""The record of one picture: its pixels as they are in the file, and what is needed to write it back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from velatura.images.formats import Format
from velatura.images.libvips import pyvips
from velatura.images.metadata.containers import Metadata


@dataclass(frozen=True, eq=False)  # images compare pixel by pixel, so equality of records would mean nothing
class Artwork:
    """What :func:`velatura.images.read` found.

    ``image`` is upright (EXIF orientation applied, its tag set back) and otherwise untouched: the file's own colour
    values, bit depth and alpha; of CMYK, sRGB. It is decoded once and then held by libvips, in memory or, beyond 100
    MB, in a temporary file. Metadata but the profile is beside it, not on it.
    """

    path: Path | None
    format: Format  # of the file to write; prepared() changes it
    image: pyvips.Image
    width: int
    height: int
    bits: int  # 8 or 16, as held in memory
    depth: int  # bits as stored: of an AVIF or HEIC also 10 or 12
    grey: bool
    alpha: bool
    icc: bytes | None = field(repr=False)
    source_bytes: int
    quality: int | None = None  # of a JPEG or a lossy WebP, estimated from its quantisers; or as chosen
    chosen: bool = False  # whether ``quality`` was chosen, and is to be taken as it is
    lossless: bool = True  # how the file stores pixels: False for JPEG, AVIF and lossy WebP
    compression: str | None = None  # of a TIFF, in libvips' words
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()  # what had to change, in words

    @property
    def name(self) -> str:
        return printable(self.path) if self.path else "the picture"


def printable(path: Path) -> str:
    """A path as one printable line, whatever bytes the file system allowed in it."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
