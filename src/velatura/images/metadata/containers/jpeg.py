"""JPEG: segments (ITU-T T.81, JFIF in T.871, XMP specification part 3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from velatura.images.metadata.containers.parts import CREDENTIALS, Facts, Metadata, Parts

_EXIF, _XMP, _XMP_MORE = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP, _JFIF = b"Photoshop 3.0\0", b"JFIF\0"
_MORE_HEAD = 4 + len(_XMP_MORE) + 40  # marker, size, name, then the packet's digest, length and offset
_MOST = 65533  # bytes that a segment holds
# libjpeg's luminance table at quality 50 (JPEG standard, table K.1).
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip


def facts(data: bytes) -> Facts:
    """Quality = the libjpeg setting whose luminance table is nearest to the file's first table."""
    for marker, body, _ in _segments(data):
        if marker == 0xDB:
            deep = body[0] >> 4
            return Facts(_quality(struct.unpack_from(">64H" if deep else ">64B", body, 1)), lossless=False)
    return Facts(lossless=False)


def take(data: bytes, parts: Parts) -> None:
    behind = False
    for marker, body, at in _segments(data):
        if marker == 0xE0 and body.startswith(_JFIF) and len(body) >= 14:
            parts.native.append(_segment(0xE0, body[:12] + b"\0\0"))  # without its thumbnail
        elif marker == 0xE1 and body.startswith(_EXIF) and not parts.exif:
            parts.exif = parts.keep(body.removeprefix(_EXIF))
        elif marker == 0xE1 and body.startswith(_XMP) and not parts.xmp:
            parts.xmp = parts.keep(body.removeprefix(_XMP))
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            parts.photoshop += parts.keep(body.removeprefix(_PHOTOSHOP))
        elif marker == 0xFE or (marker == 0xE1 and body.startswith(_XMP_MORE)):
            parts.native.append(parts.keep(_segment(marker, body)))
        elif marker == 0xEB and body.startswith(b"JP"):
            parts.lose(CREDENTIALS)
        elif marker == 0xE2 and body.startswith(b"MPF\0"):
            behind = True
        elif marker == 0xDA:
            # Within the pixels, these two bytes do not occur.
            end = data.find(b"\xff\xd9", at)
            behind |= end >= 0 and bool(data[end + 2 : end + 66].strip(b"\0\xff\n\r"))
    if behind:
        parts.lose("what stands behind the picture, as a gain map for HDR screens or a film")


def put(data: bytes, metadata: Metadata) -> bytes:
    """JFIF first, as its readers want it, and libvips' own where the file had neither JFIF nor EXIF."""
    jfif = [segment for segment in metadata.native if segment[1] == 0xE0]
    own = jfif[:1]
    if metadata.exif:
        own.append(_segment(0xE1, _EXIF + metadata.exif))
    if metadata.xmp:
        own.append(_segment(0xE1, _XMP + metadata.xmp))
    own += [segment for segment in metadata.native if segment[1] != 0xE0]
    room = _MOST - len(_PHOTOSHOP)
    for at in range(0, len(metadata.photoshop), room):
        own.append(_segment(0xED, _PHOTOSHOP + metadata.photoshop[at : at + room]))
    rest = 2
    if data[2:4] == b"\xff\xe0":
        rest += 2 + struct.unpack_from(">H", data, 4)[0]
        if not jfif and not metadata.exif:
            own.insert(0, data[2:rest])
    return b"\xff\xd8" + b"".join(own) + data[rest:]


def extends(segment: bytes) -> bool:
    """Whether a segment is a part of an XMP packet that is too large for one."""
    return segment[1] == 0xE1 and segment[4:].startswith(_XMP_MORE)


def extension(metadata: Metadata) -> bytes:
    """The parts of XMP beyond the first, put together."""
    return b"".join(part[_MORE_HEAD:] for part in metadata.native if extends(part))


def density(x: float, y: float) -> bytes:
    """A JFIF segment that says how large the pixels are; ``x`` and ``y`` in pixels per inch."""
    return _segment(0xE0, _JFIF + struct.pack(">2sB2H2x", b"\1\1", 1, *(min(65535, max(1, round(v))) for v in (x, y))))


def holds(metadata: Metadata) -> bool:
    """Whether EXIF and XMP fit into a segment each."""
    return len(metadata.exif) <= _MOST - len(_EXIF) and len(metadata.xmp) <= _MOST - len(_XMP)


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, body and place of each segment; the pixels, which come last, without their body."""
    at = 2
    while data[at] == 0xFF:
        while data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker = data[at + 1]
        if marker in (0xDA, 0xD9):
            yield marker, b"", at
            return
        (size,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + size]
        if size < 2 or len(body) != size - 2:
            return
        yield marker, bytes(body), at
        at += 2 + size


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _quality(table: tuple[int, ...]) -> int:
    def distance(quality: int) -> int:
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        # The sum alone tells them apart, and spares undoing the file's zigzag order.
        return abs(sum(table) - sum(min(255, max(1, (value * scale + 50) // 100)) for value in _LUMINANCE))

    return min(range(100, 0, -1), key=distance)
