"""What is taken from a file besides its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_BYTES = 64 << 20  # of metadata in one file
CREDENTIALS = "content credentials (C2PA), whose signature is of the old pixels"


class Unsupported(Exception):
    """Carries "what is wrong; what to do"."""


class TooManyPixels(Unsupported):
    """A picture larger than is asked for."""


class TooMuch(Unsupported):
    """More metadata than a picture has."""

    def __init__(self) -> None:
        super().__init__(f"carries more than {MOST_BYTES >> 20} MB of metadata; export it again without")


@dataclass(frozen=True)
class Facts:
    """``quality`` of a JPEG or lossy WebP, by its quantisers; ``compression`` of a TIFF, in libvips' words."""

    quality: int | None = None
    lossless: bool = True
    compression: str | None = None


@dataclass(frozen=True)
class Metadata:
    """``exif``: a block as ``exif`` has it. ``xmp``: a packet. ``photoshop``: image resources, IPTC among them.

    ``iptc``: IPTC alone, where a TIFF has it so. ``native``: chunks or segments that only the same kind of file can
    hold. ``lost``: in words, what is not carried over.
    """

    exif: bytes = field(default=b"", repr=False)
    xmp: bytes = field(default=b"", repr=False)
    photoshop: bytes = field(default=b"", repr=False)
    iptc: bytes = field(default=b"", repr=False)
    native: tuple[bytes, ...] = field(default=(), repr=False)
    lost: tuple[str, ...] = ()


class Parts:
    """Metadata while it is collected, within the limit."""

    def __init__(self) -> None:
        self.exif = self.xmp = self.photoshop = self.iptc = b""
        self.native: list[bytes] = []
        self.lost: list[str] = []
        self.size = 0

    def keep(self, part: bytes) -> bytes:
        self.size += len(part)
        if self.size > MOST_BYTES:
            raise TooMuch
        return bytes(part)

    def lose(self, what: str) -> None:
        if what not in self.lost:
            self.lost.append(what)

    def metadata(self) -> Metadata:
        return Metadata(self.exif, self.xmp, self.photoshop, self.iptc, tuple(self.native), tuple(self.lost))
