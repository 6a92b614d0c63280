"""TIFF: its first directory is EXIF's first directory (TIFF 6.0, BigTIFF)."""

from __future__ import annotations

import struct
from typing import Any

from velatura.images.metadata import exif
from velatura.images.metadata.containers.parts import Facts, Metadata, Parts, Unsupported

XMP, IPTC, PHOTOSHOP = 700, 33723, 34377
_COMPRESSIONS = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits"}
_RAW = "is a camera raw file; develop it and export a TIFF or JPEG"


def facts(data: bytes) -> Facts:
    if data[8:10] == b"CR":
        raise Unsupported(_RAW)
    tags = _tags(data)
    if 50706 in tags or tags.get(254, 0) & 1:  # DNG; or the first picture is only a small preview, as in NEF and ARW
        raise Unsupported(_RAW)
    return Facts(compression=_COMPRESSIONS.get(tags.get(259, 1), "deflate"))


def take(data: bytes, parts: Parts, page: int) -> None:
    if _tags(data, page).get(338) == 0:  # libvips would write it back as transparency, and hide what it leaves out
        raise Unsupported("has more channels than colour and one alpha; export it without the saved selection")
    if data[2:4] in (b"+\0", b"\0+"):
        parts.lose("EXIF, IPTC and XMP of a BigTIFF")
        return
    try:
        at = exif.first(data)
        for _ in range(page - 1):
            at = _next(data, at)
        kept = exif.values(data, at, only=exif.DESCRIPTIVE)
        parts.exif = parts.keep(exif.block_of(kept, exif.order(data)))
        places = {entry.tag: entry for entry in exif.entries(data, at)}
    except exif.Damaged as damage:
        parts.lose(f"metadata that is damaged ({damage})")
        return
    for tag, name in ((XMP, "xmp"), (IPTC, "iptc"), (PHOTOSHOP, "photoshop")):
        if tag in places:
            entry = places[tag]
            setattr(parts, name, parts.keep(data[entry.start : entry.start + entry.size]))


def put(data: bytes, metadata: Metadata) -> bytes:
    try:
        end = exif.order(metadata.exif) if metadata.exif else "<"
        tags = exif.values(metadata.exif, only=exif.DESCRIPTIVE) if metadata.exif else ()
    except exif.Damaged:  # kept as it was where a file holds it as a block
        end, tags = "<", ()
    for tag, kind, part in (
        (XMP, 1, metadata.xmp),
        (IPTC, 7, metadata.iptc),
        (PHOTOSHOP, 1, metadata.photoshop),
    ):
        if part:
            tags += (exif.Value(tag, kind, len(part), part),)
    return exif.into_tiff(data, tags, end) if tags else data


def _next(data: bytes, at: int) -> int:
    count = sum(1 for _ in exif.entries(data, at))
    return int(struct.unpack_from(exif.order(data) + "I", data, at + 2 + 12 * count)[0])


def _tags(data: bytes, page: int = 1) -> dict[int, int]:
    """The first number of each tag of a page's directory, BigTIFF's as well."""
    end = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    link, size, row = ("Q", "Q", 20) if big else ("I", "H", 12)
    at, count = 8 if big else 4, 0
    for _ in range(page):  # the link to the next one stands behind its rows
        (at,) = struct.unpack_from(end + link, data, at + count * row)
        (count,) = struct.unpack_from(end + size, data, at)
        at += struct.calcsize(end + size)
    tags: dict[int, Any] = {}
    for here in range(at, at + min(count, 4096) * row, row):
        tag, kind = struct.unpack_from(end + "HH", data, here)
        (tags[tag],) = struct.unpack_from(end + ("H" if kind == 3 else "I"), data, here + (12 if big else 8))
    return tags
