"""What a file is, by its first bytes, and the few facts that libvips does not tell."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from velatura.images.artwork import Format

_EXPORT = "export it as PNG, JPEG, WebP or TIFF"
_SIGNATURES: list[tuple[bytes, Format]] = [
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
]
_UNSUPPORTED = [
    (b"GIF8", "a GIF"),
    (b"8BPS", "a Photoshop document"),
    (b"8BPB", "a Photoshop document"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"BM", "a BMP"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"gimp xcf", "a GIMP document"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
]
# libjpeg's luminance table at quality 50 (JPEG standard, table K.1).
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_TIFF_COMPRESSIONS = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits"}


class Unsupported(Exception):
    """Carries "what is wrong; what to do"."""


@dataclass(frozen=True)
class Facts:
    format: Format
    quality: int | None = None
    lossless: bool = True
    compression: str | None = None
    png_colour: bytes = b""


def sniff(file: BinaryIO) -> Facts:
    """Recognise a picture, or raise :class:`Unsupported`. What is too damaged to tell is left to the decoder."""
    head = file.read(512)
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    format = "webp" if webp else next((f for signature, f in _SIGNATURES if head.startswith(signature)), None)
    if format is None:
        raise Unsupported(_what_else(head))
    try:
        return {"png": _png, "jpeg": _jpeg, "webp": _webp, "tiff": _tiff}[format](file)
    except (struct.error, IndexError):  # ends inside its own headers
        return Facts(format)


def _what_else(head: bytes) -> str:
    for signature, what in _UNSUPPORTED:
        if head.startswith(signature):
            return f"is {what}, which is not supported yet; {_EXPORT}"
    if head[4:8] == b"ftyp":
        what = "an AVIF" if head[8:12] in (b"avif", b"avis") else "a HEIC/HEIF or a film"
        return f"is {what}, which is not supported yet; {_EXPORT}"
    if b"<svg" in head.lower():
        return f"is an SVG drawing, which is not supported yet; {_EXPORT}"
    return f"is not a picture that Velatura knows; {_EXPORT}"


def _take(file: BinaryIO, layout: str) -> tuple[int, ...]:
    values: tuple[int, ...] = struct.unpack(layout, file.read(struct.calcsize(layout)))
    return values


def _png(file: BinaryIO) -> Facts:
    file.seek(8)
    colour = b""
    while True:
        header = file.read(8)
        size, kind = struct.unpack(">I4s", header)
        if kind == b"acTL":
            raise Unsupported("is an animated PNG; save one frame of it as a still picture")
        if kind == b"IDAT":
            return Facts("png", png_colour=colour)
        if kind in (b"gAMA", b"cHRM", b"sRGB", b"cICP"):
            colour += header + file.read(size + 4)
        else:
            file.seek(size + 4, 1)


def _jpeg(file: BinaryIO) -> Facts:
    """Quality = the libjpeg setting whose luminance table is nearest to the file's first table."""
    file.seek(2)
    while True:
        fill, marker = _take(file, ">BB")
        while marker == 0xFF:
            (marker,) = _take(file, ">B")
        if fill != 0xFF or marker in (0xDA, 0xD9):
            return Facts("jpeg", lossless=False)
        (size,) = _take(file, ">H")
        body = file.read(size - 2)
        if marker == 0xDB:
            table = struct.unpack(">64H" if body[0] >> 4 else ">64B", body[1 : 129 if body[0] >> 4 else 65])
            return Facts("jpeg", quality=_quality(table), lossless=False)


def _quality(table: tuple[int, ...]) -> int:
    def distance(quality: int) -> int:
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        # The sum alone tells them apart, and spares undoing the file's zigzag order.
        return abs(sum(table) - sum(min(255, max(1, (value * scale + 50) // 100)) for value in _LUMINANCE))

    return min(range(100, 0, -1), key=distance)


def _webp(file: BinaryIO) -> Facts:
    file.seek(12)
    while True:
        kind, size = struct.unpack("<4sI", file.read(8))
        if kind == b"VP8X" and file.read(1)[0] & 2:
            raise Unsupported("is an animated WebP; save one frame of it as a still picture")
        if kind in (b"VP8 ", b"VP8L"):
            return Facts("webp", lossless=kind == b"VP8L")
        file.seek(size + (size & 1) - (kind == b"VP8X"), 1)


def _tiff(file: BinaryIO) -> Facts:
    file.seek(0)
    head = file.read(16)
    end = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    if head[8:10] == b"CR":
        raise Unsupported("is a camera raw file; develop it and export a TIFF or JPEG")
    (start,) = struct.unpack(end + ("Q" if big else "I"), head[8:16] if big else head[4:8])
    file.seek(start)
    (entries,) = _take(file, end + ("Q" if big else "H"))
    tags: dict[int, int] = {}
    for _ in range(min(entries, 4096)):
        entry = file.read(20 if big else 12)
        tag, kind = struct.unpack(end + "HH", entry[:4])
        tags[tag] = struct.unpack(
            end + ("H" if kind == 3 else "I"), entry[(12 if big else 8) :][: 2 if kind == 3 else 4]
        )[0]
    if 50706 in tags or tags.get(254, 0) & 1:  # DNG; or the first picture is only a small preview, as in NEF and ARW
        raise Unsupported("is a camera raw file; develop it and export a TIFF or JPEG")
    return Facts("tiff", compression=_TIFF_COMPRESSIONS.get(tags.get(259, 1), "deflate"))
