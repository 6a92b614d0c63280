"""Photoshop's image resources, which carry IPTC in JPEG and TIFF (Adobe Photoshop file formats specification)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

IPTC, _DIGEST = 0x0404, 0x0425  # the record, and its checksum by which Photoshop sees that another program changed it
THUMBNAILS = frozenset({0x0409, 0x040C})  # small copies of the unprotected picture
COPIES = frozenset({0x0422, 0x0423, 0x0424})  # of EXIF and XMP, places and all


def _resources(block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, body and whole bytes of each; what cannot be followed is left out."""
    at = 0
    while at + 12 <= len(block) and block[at : at + 4] in (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"):
        (number,) = struct.unpack_from(">H", block, at + 4)
        body = at + 6 + (block[at + 6] + 2 & ~1)  # a name with its length before it, to an even size
        if body + 4 > len(block):
            return
        (size,) = struct.unpack_from(">I", block, body)
        stop = body + 4 + size
        if stop > len(block):
            return
        yield number, block[body + 4 : stop], block[at:stop] + bytes(size & 1)
        at = stop + (size & 1)


def without(block: bytes, numbers: frozenset[int]) -> bytes:
    """The resources but those; the very bytes where there is none of those."""
    found = list(_resources(block))
    if not any(number in numbers for number, _, _ in found):
        return block
    return b"".join(whole for number, _, whole in found if number not in numbers)


def iptc(block: bytes) -> bytes:
    """The IPTC record, or b""."""
    return next((body for number, body, _ in _resources(block) if number == IPTC), b"")


def with_iptc(block: bytes, record: bytes) -> bytes:
    """The resources and, unless they hold one, this IPTC record."""
    if not record or iptc(block):
        return block
    # In front, where it is found even if what follows is damaged.
    return b"8BIM" + struct.pack(">HHI", IPTC, 0, len(record)) + record + bytes(len(record) & 1) + block


def changed(block: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The resources with their IPTC record changed; the very bytes where it stays as it is."""
    record = iptc(block)
    new = change(record)
    return block if new == record else with_iptc(without(block, frozenset({IPTC, _DIGEST})), new)
