"""AVIF: boxes that refer to each other by place, so EXIF is put over a block that libvips was given to write."""

from __future__ import annotations

import struct
from typing import Any

from velatura.images.metadata.containers.parts import Metadata

_FILL = b"velatura"
_MOST_EXIF = 65000  # bytes, with room for what libvips adds: libexif, which writes the placeholder, ends at 64 kB
# Primaries and transfer by number (ITU-T H.273). sRGB's: BT.709, not said, and BT.601, which is near; with curves that
# are shown as sRGB's.
P3, _SRGB, _CURVES = (12, 13), {1, 2, 5, 6}, {1, 2, 4, 6, 13, 14, 15}


def colours(data: Any) -> tuple[int, int] | None:
    """Primaries and transfer of an AVIF or HEIC, by number, where they are not sRGB's or near it."""
    at = 0
    while at + 8 <= len(data) and data[at + 4 : at + 8] != b"meta":
        (size,) = struct.unpack_from(">I", data, at)
        at += max(size, 8)
    (size,) = struct.unpack_from(">I", data, at) if at + 8 <= len(data) else (0,)
    at = data.find(b"colrnclx", at, at + size)  # the first: those of a gain map or a thumbnail come behind it
    if not 0 <= at <= len(data) - 12:
        return None
    primaries, transfer = struct.unpack_from(">2H", data, at + 8)
    if transfer in _CURVES and primaries in (*_SRGB, P3[0]):
        return P3 if primaries == P3[0] else None
    return primaries, transfer


def holds(metadata: Metadata) -> bool:
    """Whether EXIF fits."""
    return len(metadata.exif) <= _MOST_EXIF


def placeholder(metadata: Metadata) -> str:
    """A description for libvips to write: with it, its block is long enough for the file's own."""
    return _FILL.decode() * (len(metadata.exif) // len(_FILL) + 2)


def put(data: bytes, metadata: Metadata) -> bytes:
    """The file with its own EXIF where the placeholder's stood; readers ignore the zeros behind it."""
    fill = placeholder(metadata).encode()
    at = data.find(fill)
    if not metadata.exif or at < 0:
        return data
    start = max(data.rfind(head, 0, at) for head in (b"II*\0", b"MM\0*"))
    return data[:start] + metadata.exif.ljust(at + len(fill) - start, b"\0") + data[at + len(fill) :]
