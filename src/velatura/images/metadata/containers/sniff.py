"""What a file is, by its first bytes."""

from __future__ import annotations

from velatura.images.formats import Format
from velatura.images.metadata.containers.parts import Unsupported

_EXPORT = "export it as PNG, JPEG, WebP or TIFF"
_SIGNATURES: list[tuple[bytes, Format]] = [
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
]
_UNSUPPORTED = [
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
    (b"CSFCHUNK", "a Clip Studio document"),
    (b"PK\x03\x04", "an archive or a document of a painting program (Krita, OpenRaster, Procreate)"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
]
_AVIF, _AVIF_FILM = (b"avif",), (b"avis",)
_HEIC, _HEIC_FILM = (b"heic", b"heix", b"heim", b"heis", b"mif1"), (b"hevc", b"hevx", b"msf1")


def sniff(data: bytes) -> Format:
    """Recognise a picture, or raise :class:`Unsupported`."""
    head = data[:512]
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    for signature, format in _SIGNATURES:
        if head.startswith(signature):
            return format
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    for signature, what in _UNSUPPORTED:
        if head.startswith(signature):
            raise Unsupported(f"is {what}, which is not read; {_EXPORT}")
    if b"<svg" in head.lower():
        raise Unsupported(f"is an SVG drawing, which is not read; {_EXPORT}")
    raise Unsupported(f"is not a picture that Velatura knows; {_EXPORT}")


def _iso_media(head: bytes) -> Format:
    """AVIF or HEIC, by the major brand, else by the compatible ones, which follow it."""
    size = int.from_bytes(head[:4], "big")
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, min(size, len(head)), 4))]
    for brand in brands:
        if brand in _AVIF:
            return "avif"
        if brand in _HEIC and not any(b in _AVIF for b in brands):
            return "heic"
        if brand in _AVIF_FILM + _HEIC_FILM:
            raise Unsupported("is an animated AVIF or HEIC; save one frame of it as a still picture")
    raise Unsupported(f"is a film or another kind of ISO media file; {_EXPORT}")
