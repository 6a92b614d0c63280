"""AVIF: boxes that refer to each other by place, so EXIF is put over a block that libvips was given to write."""

from __future__ import annotations

from velatura.images.containers.parts import Metadata

_FILL = b"velatura"


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
