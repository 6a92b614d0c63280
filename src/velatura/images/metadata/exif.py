"""EXIF without loss: what must change is changed in place, and everything else keeps its bytes and its place.

libvips would write EXIF anew by libexif, which drops tags that it does not know and moves maker notes. A block of EXIF
is a small TIFF file: a header, then directories (IFDs) of 12-byte entries, whose offsets count from the header.
Specification: CIPA DC-008 (Exif 3.0), TIFF 6.0. Damaged blocks raise :class:`Damaged`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ORIENTATION, EXIF, GPS, INTEROP, X_RESOLUTION = 0x0112, 0x8769, 0x8825, 0xA005, 0x011A
PIXEL_WIDTH, PIXEL_HEIGHT = 0xA002, 0xA003
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes, by type
MOST_ENTRIES, MOST_BYTES = 1000, 1 << 24
# What a TIFF's own directory says of the picture rather than of its pixels.
DESCRIPTIVE = frozenset(
    {269, 270, 271, 272, 285, 305, 306, 315, 316, 333, 337, 4864, 18246, 18249, 33432, 37386, 40091, 40092, 40093}
    | {40094, 40095, 42032, 42033, 42034, 50341, 50708, 50735, 50827, 50934}
)


class Damaged(ValueError):
    """Not EXIF that can be followed to its end."""


@dataclass(frozen=True)
class Entry:
    """One entry of a directory: where it stands, what it is, and where its value lies."""

    at: int
    tag: int
    kind: int
    count: int
    start: int
    size: int


@dataclass(frozen=True)
class Value:
    """One tag with its bytes, in the byte order of the block that it came from; a directory in it is a list."""

    tag: int
    kind: int
    count: int
    data: bytes
    below: tuple[Value, ...] = ()


def order(block: bytes) -> str:
    """``<`` or ``>``, as struct has it."""
    if block[:4] not in (b"II*\0", b"MM\0*") or len(block) < 8:
        raise Damaged("no EXIF header")
    return "<" if block[:2] == b"II" else ">"


def entries(block: bytes, at: int) -> Iterator[Entry]:
    """The entries of the directory at offset ``at``."""
    end = order(block)
    if not 8 <= at <= len(block) - 2:
        raise Damaged("a directory outside the block")
    (count,) = struct.unpack_from(end + "H", block, at)
    if count > MOST_ENTRIES or at + 2 + 12 * count > len(block):
        raise Damaged("a directory that runs over the end")
    for index in range(count):
        here = at + 2 + 12 * index
        tag, kind, number = struct.unpack_from(end + "HHI", block, here)
        size = SIZES.get(kind, 1) * number
        start = here + 8 if size <= 4 else struct.unpack_from(end + "I", block, here + 8)[0]
        yield Entry(here, tag, kind, number, start, size)


def first(block: bytes) -> int:
    """Offset of the first directory."""
    return int(struct.unpack_from(order(block) + "I", block, 4)[0])


def number(block: bytes, entry: Entry) -> int | None:
    """The value of an entry that is one whole number (SHORT, LONG or IFD)."""
    if entry.count != 1 or entry.kind not in (3, 4, 13):
        return None
    return int(struct.unpack_from(order(block) + ("H" if entry.kind == 3 else "I"), block, entry.start)[0])


def directory(block: bytes, tag: int) -> int | None:
    """The number of ``tag`` in the first directory: mostly the offset of another one."""
    return next((number(block, e) for e in entries(block, first(block)) if e.tag == tag), None)


def renewed(block: bytes, *, gps: bool = True, width: int | None = None, height: int | None = None) -> bytes:
    """The block for new pixels: upright, without its thumbnail; on wish without GPS, with another size.

    Where the picture lay on its side, the sizes that the block repeats change places.
    """
    new = bytearray(block)
    end = order(block)
    _drop_thumbnail(new, end)
    if not gps:
        _drop_gps(new, end)
    below = directory(bytes(new), EXIF)
    if width is None and below is not None and (directory(bytes(new), ORIENTATION) or 1) in range(5, 9):
        found = {entry.tag: number(bytes(new), entry) for entry in entries(bytes(new), below)}
        width, height = found.get(PIXEL_HEIGHT), found.get(PIXEL_WIDTH)
    sizes = {PIXEL_WIDTH: width, PIXEL_HEIGHT: height}
    for at in (first(block), below):
        for entry in entries(bytes(new), at) if at is not None else ():
            value = 1 if entry.tag == ORIENTATION else sizes.get(entry.tag)
            if value is not None and entry.count == 1 and (entry.kind == 4 or (entry.kind == 3 and value < 1 << 16)):
                struct.pack_into(end + ("H" if entry.kind == 3 else "I"), new, entry.start, value)
    return bytes(new)


def _drop_thumbnail(block: bytearray, end: str) -> None:
    """The second directory holds a small copy of the unprotected picture."""
    at = first(bytes(block))
    link = at + 2 + 12 * sum(1 for _ in entries(bytes(block), at))
    if link + 4 > len(block):
        return
    (second,) = struct.unpack_from(end + "I", block, link)
    struct.pack_into(end + "I", block, link, 0)
    if second:
        found = {entry.tag: entry for entry in entries(bytes(block), second)}
        if 0x0201 in found and 0x0202 in found:
            start, size = (number(bytes(block), found[tag]) or 0 for tag in (0x0201, 0x0202))
            _blank(block, start, size)


def _drop_gps(block: bytearray, end: str) -> None:
    at = first(bytes(block))
    found = list(entries(bytes(block), at))
    index = next((i for i, entry in enumerate(found) if entry.tag == GPS), None)
    if index is None:
        return
    place = number(bytes(block), found[index])
    if place is not None:
        inside = list(entries(bytes(block), place))
        for entry in inside:
            _blank(block, entry.start, entry.size)
        _blank(block, place, 2 + 12 * len(inside))
    # The entries behind it, and the link to the next directory, which a cut block may lack, move up.
    here, last = found[index].at, min(at + 2 + 12 * len(found) + 4, len(block))
    block[here : last - 12] = block[here + 12 : last]
    struct.pack_into(end + "H", block, at, len(found) - 1)


def _blank(block: bytearray, start: int, size: int) -> None:
    stop = min(start + size, len(block))
    if 8 <= start < stop:
        block[start:stop] = bytes(stop - start)


def values(block: bytes, at: int | None = None, *, only: frozenset[int] | None = None) -> tuple[Value, ...]:
    """The tags (all, or ``only`` those) of the directory at ``at``, the first by default, and of those below it.

    Below it are its EXIF, GPS and interoperability directories.
    """
    return _values(block, first(block) if at is None else at, only, 0)


def _values(block: bytes, at: int, only: frozenset[int] | None, depth: int) -> tuple[Value, ...]:
    found = []
    for entry in entries(block, at):
        if entry.tag in (EXIF, GPS, INTEROP):
            place = number(block, entry)
            if place is not None and depth < 2 and (below := _values(block, place, None, depth + 1)):
                found.append(Value(entry.tag, 4, 1, b"", below))  # an empty one would have no place to point to
        elif only is not None and entry.tag not in only:
            continue
        elif entry.kind in SIZES and entry.start + entry.size <= len(block):
            data = bytes(block[entry.start : entry.start + entry.size])
            found.append(Value(entry.tag, entry.kind, entry.count, data))
    if sum(len(value.data) for value in found) > MOST_BYTES:  # many entries may share one large value
        raise Damaged("more than a file of EXIF can hold")
    return tuple(found)


def swapped(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """The values in the other byte order."""
    return tuple(Value(v.tag, v.kind, v.count, _swap(v.kind, v.data), swapped(v.below)) for v in values)


def _swap(kind: int, data: bytes) -> bytes:
    width = {5: 4, 10: 4}.get(kind, SIZES[kind])  # a rational is two numbers
    return b"".join(data[i : i + width][::-1] for i in range(0, len(data), width))


def directory_bytes(values: tuple[Value, ...], base: int, end: str, link: int = 0) -> bytes:
    """A directory that will stand at offset ``base``, followed by what its entries point to."""
    ordered = sorted(values, key=lambda value: value.tag)
    table, behind = b"", b""
    after = base + 2 + 12 * len(ordered) + 4
    for value in ordered:
        here = after + len(behind)
        if value.below:
            field = struct.pack(end + "I", here)
            behind += directory_bytes(value.below, here, end)
        elif len(value.data) <= 4:
            field = value.data.ljust(4, b"\0")
        else:
            field = struct.pack(end + "I", here)
            behind += value.data
        behind += bytes(len(behind) % 2)  # offsets are even
        table += struct.pack(end + "HHI", value.tag, value.kind, value.count) + field
    return struct.pack(end + "H", len(ordered)) + table + struct.pack(end + "I", link) + behind


def block_of(values: tuple[Value, ...], end: str) -> bytes:
    """A whole block of EXIF; b"" for no values."""
    if not values:
        return b""
    head = b"II*\0" if end == "<" else b"MM\0*"
    return head + struct.pack(end + "I", 8) + directory_bytes(values, 8, end)


def into_tiff(tiff: bytes, more: tuple[Value, ...], end: str) -> bytes:
    """The TIFF file with ``more`` tags (in byte order ``end``) in its first directory, written behind its pixels."""
    own = order(tiff)
    kept = list(entries(tiff, first(tiff)))
    (link,) = struct.unpack_from(own + "I", tiff, first(tiff) + 2 + 12 * len(kept))
    added = {value.tag: value for value in (more if own == end else swapped(more))}
    # Entries of the file itself keep their offsets, so the twelve bytes that stood there are right at any place.
    rows = {entry.tag: tiff[entry.at : entry.at + 12] for entry in kept if entry.tag not in added}
    padding = bytes(len(tiff) % 2)
    base = len(tiff) + len(padding)
    fresh = directory_bytes(tuple(added.values()), base + 12 * len(rows), own)
    for index in range(len(added)):
        row = fresh[2 + 12 * index : 14 + 12 * index]
        rows[struct.unpack(own + "H", row[:2])[0]] = row
    table = struct.pack(own + "H", len(rows)) + b"".join(rows[tag] for tag in sorted(rows))
    behind = struct.pack(own + "I", link) + fresh[2 + 12 * len(added) + 4 :]
    return b"".join((tiff[:4], struct.pack(own + "I", base), memoryview(tiff)[8:], padding, table, behind))
