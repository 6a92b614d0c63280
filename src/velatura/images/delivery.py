"""What a person wants of the protected file: which kind of file, how large, with which metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from velatura.errors import InputError
from velatura.images.formats import LOSSY, WRITTEN, Written


@dataclass(frozen=True)
class Platform:
    """A place to publish, as it is *assumed* to treat pictures: none of them says, and all of them change it.

    ``bound``: what ``pixels`` limits, the width or the longest side. ``quality``: of the JPEG that it makes, with
    chroma halved in both directions. ``most_bytes``: larger uploads are compressed before they are taken.
    """

    name: str
    bound: Literal["width", "longest side"]
    pixels: int
    quality: int
    most_bytes: int | None = None


PLATFORMS = {
    platform.name: platform
    for platform in (
        Platform("instagram", "width", 1080, 70),
        Platform("x", "longest side", 4096, 85),
        Platform("bluesky", "longest side", 2000, 75, 1_000_000),
        Platform("artstation", "width", 1920, 85),
    )
}
WIDTHS = range(16, 20001)


@dataclass(frozen=True)
class Delivery:
    """What a person asks of the file besides the cloak; by default, the same kind of file with the same metadata.

    format: another kind of file. quality: 1 to 100 of a lossy one; by default the source's, at least 90. to: a platform
    by name, or a width in pixels as digits, that the picture is made smaller for before it is cloaked. strip_gps,
    strip_all: leave metadata out. do_not_train, rights: reservations to write into XMP.
    """

    format: Written | None = None
    quality: int | None = None
    to: str | None = None
    strip_gps: bool = False
    strip_all: bool = False
    do_not_train: bool = False
    rights: str | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in WRITTEN:
            raise InputError(f"format: expected one of {', '.join(WRITTEN)}, got {self.format!r}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise InputError(f"quality: expected a number from 1 to 100, got {self.quality}")
        if self.quality is not None and self.format is not None and self.format not in LOSSY:
            raise InputError(f"quality: expected with {', '.join(LOSSY)}; {self.format} keeps every value")
        if self.to is not None and self.to not in PLATFORMS and not (self.to.isdecimal() and int(self.to) in WIDTHS):
            names = ", ".join(PLATFORMS)
            raise InputError(
                f"deliver: expected {names} or a width from {WIDTHS[0]} to {WIDTHS[-1]} px, got {self.to!r}"
            )
        if self.rights is not None and not self.rights.strip():
            raise InputError("rights: expected a text, got an empty one")

    @property
    def platform(self) -> Platform | None:
        return PLATFORMS.get(self.to or "")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to deliver: never larger than the picture."""
        if self.to is None:
            return width, height
        platform = self.platform
        most = platform.pixels if platform else int(self.to)
        bound = max(width, height) if platform and platform.bound == "longest side" else width
        if bound <= most:
            return width, height
        return max(1, round(width * most / bound)), max(1, round(height * most / bound))
