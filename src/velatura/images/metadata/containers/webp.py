"""WebP: RIFF chunks (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from velatura.images.metadata.containers import vp8
from velatura.images.metadata.containers.parts import CREDENTIALS, Facts, Metadata, Parts, Unsupported

_ANIMATION, _XMP, _EXIF, _ALPHA, _ICC = 0x02, 0x04, 0x08, 0x10, 0x20


def facts(data: bytes) -> Facts:
    for name, at, size in _chunks(data):
        if name == b"VP8X" and data[at] & _ANIMATION:
            raise Unsupported("is an animated WebP; save one frame of it as a still picture")
        if name == b"VP8 ":
            return Facts(vp8.quality(data[at : at + min(size, 512)]), lossless=False)
        if name == b"VP8L":
            return Facts()
    return Facts()


def take(data: bytes, parts: Parts) -> None:
    for name, at, size in _chunks(data):
        if name == b"EXIF":
            parts.exif = parts.keep(data[at : at + size]).removeprefix(b"Exif\0\0")
        elif name == b"XMP ":
            parts.xmp = parts.keep(data[at : at + size])
        elif name == b"C2PA":
            parts.lose(CREDENTIALS)


def put(data: bytes, metadata: Metadata, alpha: bool) -> bytes:
    if not metadata.exif and not metadata.xmp:
        return data
    chunks = {name: data[at : at + size] for name, at, size in _chunks(data)}
    head = bytearray(chunks.pop(b"VP8X", b"") or _header(data, chunks, alpha))
    for name, part, flag in ((b"EXIF", metadata.exif, _EXIF), (b"XMP ", metadata.xmp, _XMP)):
        if part:
            chunks[name] = part
            head[0] |= flag
    body = b"WEBP" + b"".join(_chunk(name, part) for name, part in [(b"VP8X", bytes(head)), *chunks.items()])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _header(data: bytes, chunks: dict[bytes, bytes], alpha: bool) -> bytes:
    """VP8X: flags and size, which the simple kinds keep in the head of their pixels."""
    if b"VP8L" in chunks:
        bits = int.from_bytes(chunks[b"VP8L"][1:5], "little")
        width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
    else:
        width, height = (v - 1 & 0x3FFF for v in struct.unpack_from("<HH", chunks[b"VP8 "], 6))
    return struct.pack("<B3xHBHB", _ALPHA * alpha, width, 0, height, 0)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of each chunk's body."""
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, min(size, len(data) - at - 8)
        at += 8 + size + (size & 1)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) & 1)
