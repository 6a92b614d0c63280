"""PNG: chunks (PNG specification, 3rd edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from velatura.images.metadata.containers.parts import (
    CREDENTIALS,
    MOST_BYTES,
    Facts,
    Metadata,
    Parts,
    TooMuch,
    Unsupported,
)

XMP_KEYWORD = "XML:com.adobe.xmp"  # of an iTXt; other programs than XMP's take a tEXt for a plain text
_XMP = XMP_KEYWORD.encode() + b"\0"
_HEADER = 33  # bytes of signature and IHDR, which come first
# Besides those that say by their name that they survive new pixels: what values mean, sizes, the time stamp.
_KEPT = {b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"tIME"}
# Of sRGB: the inverse of gamma, and white, red, green and blue, each as x and y; all times 100,000.
_SRGB = {b"gAMA": (45455,), b"cHRM": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)}


def facts(data: bytes) -> Facts:
    for name, _, _ in _chunks(data):
        if name == b"acTL":
            raise Unsupported("is an animated PNG; save one frame of it as a still picture")
        if name == b"IDAT":
            break
    return Facts()


def take(data: bytes, parts: Parts) -> None:
    for name, at, size in _chunks(data):
        if name == b"eXIf":
            parts.exif = parts.keep(data[at : at + size]).removeprefix(b"Exif\0\0")
        elif name == b"iTXt" and data[at : at + len(_XMP)] == _XMP:
            parts.xmp = parts.keep(_text(data[at : at + size]))
        elif name == b"caBX":
            parts.lose(CREDENTIALS)
        elif name in _KEPT or (name[0] & 32 and name[3] & 32 and name != b"sPLT"):
            parts.native.append(parts.keep(data[at - 8 : at + size + 4]))


def put(data: bytes, metadata: Metadata) -> bytes:
    # libvips makes up a size of the pixels where there is none.
    written = b"".join(data[at - 8 : at + size + 4] for name, at, size in _chunks(data, _HEADER) if name != b"pHYs")
    own = b"".join(metadata.native)
    own += _chunk(b"eXIf", metadata.exif) if metadata.exif else b""
    own += _chunk(b"iTXt", _XMP + bytes(4) + metadata.xmp) if metadata.xmp else b""
    return data[:_HEADER] + own + written


def density(x: float, y: float) -> bytes:
    """A pHYs chunk that says how large the pixels are; ``x`` and ``y`` in pixels per inch."""
    return _chunk(b"pHYs", struct.pack(">2IB", *(min(0x7FFFFFFF, round(v / 0.0254)) for v in (x, y)), 1))


def texts(metadata: Metadata) -> Iterator[tuple[str, bytes]]:
    """Keyword and chunk of each text."""
    for chunk in metadata.native:
        if chunk[4:8] in (b"tEXt", b"zTXt", b"iTXt"):
            yield chunk[8:].partition(b"\0")[0].decode("latin-1"), chunk


def colours(metadata: Metadata, profiled: bool) -> list[str]:
    """The names of chunks that give values another meaning than sRGB's, or than that of a profile that rules them."""
    found = {chunk[4:8]: chunk[8:-4] for chunk in metadata.native}
    ruled = profiled or b"sRGB" in found
    names = [b"cICP"] if found.get(b"cICP", b"\1\15")[:2] not in (b"\1\15", b"\1\1") else []
    if b"cICP" not in found and not ruled:
        names = [name for name in _SRGB if name in found and not _near(found[name], _SRGB[name])]
    return [name.decode() for name in names]


def _near(body: bytes, usual: tuple[int, ...]) -> bool:
    values = struct.unpack(f">{len(body) // 4}I", body[: len(body) // 4 * 4])
    return len(values) == len(usual) and all(abs(a - b) <= 1000 for a, b in zip(values, usual, strict=True))


def content(chunk: bytes) -> bytes:
    """The text of a text chunk, inflated; as it stands where it cannot be."""
    body = chunk[8:-4]
    if chunk[4:8] == b"tEXt":
        return body.partition(b"\0")[2]
    try:
        return _text(body) if chunk[4:8] == b"iTXt" else _inflated(body.partition(b"\0")[2][1:])
    except (zlib.error, IndexError):
        return body


def raw_profile(chunk: bytes) -> bytes:
    """The bytes that ImageMagick wrote as a text: a name, a length and hexadecimal digits, a line each and more."""
    text = content(chunk)
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return text


def _chunks(data: bytes, at: int = 8) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of each chunk's body."""
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            return
        yield name, at + 8, size
        at += 12 + size


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _text(body: bytes) -> bytes:
    """The text of an iTXt chunk: keyword, compression flag and method, language, translated keyword, text."""
    rest = body.partition(b"\0")[2]
    text = rest[2:].split(b"\0", 2)[2]
    return _inflated(text) if rest[0] == 1 else text


def _inflated(text: bytes) -> bytes:
    inflate = zlib.decompressobj()
    text = inflate.decompress(text, MOST_BYTES)
    if inflate.unconsumed_tail:
        raise TooMuch
    return text
