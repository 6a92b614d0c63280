"""Files as containers: what kind they are, the metadata in them taken out as bytes, and put back beside new pixels.

libvips' own writing of metadata loses some of it (EXIF tags that libexif does not know, EXIF and IPTC of a TIFF,
letters beyond ASCII in a PNG, its time stamp, a JPEG's comments). So it writes pixels and colour profile, and the rest
is here.
"""

from __future__ import annotations

import struct
import zlib

from velatura.images.formats import Format
from velatura.images.metadata.containers import avif, jpeg, png, tiff, webp
from velatura.images.metadata.containers.parts import Facts, Metadata, Parts, TooManyPixels, TooMuch, Unsupported
from velatura.images.metadata.containers.sniff import sniff

__all__ = ["Facts", "Metadata", "TooManyPixels", "TooMuch", "Unsupported", "facts", "put", "sniff", "take"]

# A file that ends inside its own headers, or (BigTIFF) points to more bytes than a machine can count.
_OUTSIDE = (struct.error, IndexError, OverflowError)
_ROOMS = {"png": png, "jpeg": jpeg, "webp": webp, "tiff": tiff}


def facts(format: Format, data: bytes) -> Facts:
    """How the file stores its pixels. What is too damaged to tell is left to the decoder."""
    try:
        return _ROOMS[format].facts(data) if format in _ROOMS else Facts(lossless=format == "gif")
    except _OUTSIDE:
        return Facts()


def take(format: Format, data: bytes, page: int = 1) -> Metadata:
    """The metadata of a PNG, JPEG, WebP or TIFF; what stands before the damage in a damaged one; else nothing.

    ``data`` may be a memory map. Raises :class:`TooMuch` beyond 64 MB.
    """
    parts = Parts()
    try:
        if format == "tiff":
            tiff.take(data, parts, page)
        elif format in _ROOMS:
            _ROOMS[format].take(data, parts)
    except (*_OUTSIDE, zlib.error):
        parts.lose("what stands behind a damaged place in its headers")
    return parts.metadata()


def put(format: Format, data: bytes, metadata: Metadata, *, alpha: bool = False) -> bytes:
    """The file ``data``, which holds pixels and profile alone, with its metadata."""
    match format:
        case "png":
            return png.put(data, metadata)
        case "jpeg":
            return jpeg.put(data, metadata)
        case "webp":
            return webp.put(data, metadata, alpha)
        case "tiff":
            return tiff.put(data, metadata)
        case "avif":
            return avif.put(data, metadata)
    return data
