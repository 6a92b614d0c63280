"""Metadata that must change because the pixels did, or that the artist wants changed. Everything else stays."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from velatura.images.formats import Format
from velatura.images.libvips import pyvips
from velatura.images.metadata import exif, iptc, photoshop, xmp
from velatura.images.metadata.containers import Metadata, jpeg, png

# What stays in libvips' hands; it would write the rest anew, not as it was.
_PIXELS = ("width", "height", "bands", "format", "coding", "interpretation", "xoffset", "yoffset", "xres", "yres")
_KEPT = (*_PIXELS, "filename", "resolution-unit", "icc-profile-data")
_RAW = "raw profile type "  # how ImageMagick begins the keyword of a PNG's text that holds a whole block


def orientation(image: pyvips.Image, metadata: Metadata) -> int | None:
    """How EXIF says that the picture lies, 1 to 8; None where it does not.

    ``renewed`` sets back what the block says, so that rules; libvips, which reads no EXIF behind the pixels of a PNG,
    is asked where the block is damaged, and of a TIFF, which says it outside of the block.
    """
    with suppress(exif.Damaged, struct.error):
        found = exif.directory(metadata.exif, exif.ORIENTATION) if metadata.exif else None
        if found in range(1, 9):
            return found
    return image.get("orientation") if "orientation" in image.get_fields() else None


def upright(image: pyvips.Image, orientation: int | None = None) -> pyvips.Image:
    """Apply the orientation once, and leave no metadata on the image but its profile."""
    # A copy of the header only; without one the loader's own record would change.
    image = image.copy()
    if orientation is not None and orientation > 1:
        image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        image = image.autorot()
    for name in image.get_fields():
        if name not in _KEPT:
            image.remove(name)
    return image


def renewed(metadata: Metadata, *, turned: bool = True) -> Metadata:
    """Metadata for new pixels: upright in every place that says so, without copies of the unprotected picture.

    ``turned``: whether the file's orientation was heeded. Where XMP alone has one, viewers disagree, and do so still.
    """
    lost, block, packet = list(metadata.lost), metadata.exif, metadata.xmp
    try:
        block = exif.renewed(block) if block else b""
    except (exif.Damaged, struct.error):
        block = b""
        lost.append("EXIF, which is damaged")
    if packet:
        packet = xmp.upright(packet) if turned else packet
        try:
            packet = xmp.without_thumbnails(packet)
            if xmp.holds_copy(packet):  # deeper than properties are followed
                packet = xmp.without_copies(packet)
                lost.append("parts of XMP that hold a copy of the unprotected picture")
        except xmp.Damaged:  # kept as it is: readers that are less strict may make sense of it
            if xmp.holds_copy(packet):
                packet = b""
                lost.append("XMP, which is damaged and holds a copy of the unprotected picture")
    resources = photoshop.without(metadata.photoshop, photoshop.THUMBNAILS)
    copies = [(word, chunk) for word, chunk in png.texts(metadata) if _holds_a_copy(word, chunk)]
    if copies:
        lost.append(f"texts that may hold a copy of the unprotected picture ({', '.join(word for word, _ in copies)})")
    found = replace(
        metadata,
        exif=block,
        xmp=packet,
        photoshop=photoshop.changed(resources, iptc.without_previews),
        iptc=iptc.without_previews(metadata.iptc),
        native=_without(metadata.native, copies),
        lost=tuple(lost),
    )
    if xmp.holds_copy(jpeg.extension(metadata)):
        found = _unextended(found, "extended XMP, which holds a copy of the unprotected picture")
    return found


def _holds_a_copy(word: str, chunk: bytes) -> bool:
    """Whether a text of a PNG may hold a thumbnail: in a block of EXIF, XMP or Photoshop, or in what is called IPTC."""
    kind = word.lower().removeprefix(_RAW)
    if kind == word.lower():
        return word == png.XMP_KEYWORD and xmp.holds_copy(png.content(chunk))
    if kind != "iptc":
        return kind in ("exif", "app1", "8bim", "xmp")
    raw = png.raw_profile(chunk)
    if raw != iptc.without_previews(raw) or raw != photoshop.without(raw, photoshop.THUMBNAILS):
        return True
    return photoshop.changed(raw, iptc.without_previews) != raw


def _without(native: tuple[bytes, ...], texts: list[tuple[str, bytes]]) -> tuple[bytes, ...]:
    gone = {chunk for _, chunk in texts}
    return tuple(part for part in native if part not in gone)


def _unextended(metadata: Metadata, why: str) -> Metadata:
    """Without the part of its XMP that a JPEG keeps in segments of their own."""
    packet = metadata.xmp
    with suppress(xmp.Damaged):
        packet = xmp.unextended(packet) if packet else b""
    native = tuple(part for part in metadata.native if not jpeg.extends(part))
    return replace(metadata, xmp=packet, native=native, lost=(*metadata.lost, why))


def resized(metadata: Metadata, width: int, height: int) -> Metadata:
    """Metadata of the picture at another size: EXIF repeats it."""
    block = metadata.exif
    return replace(metadata, exif=exif.renewed(block, width=width, height=height) if block else b"")


def without_gps(metadata: Metadata) -> Metadata:
    """Without the place where it was made, by numbers or by name, in EXIF, XMP, IPTC, and in copies of them.

    Raises ``xmp.Damaged``.
    """
    named = [(word, chunk) for word, chunk in png.texts(metadata) if _may_hold_a_place(word)]
    block, lost = metadata.exif, list(metadata.lost)
    try:
        block = exif.renewed(block, gps=False) if block else b""
    except (exif.Damaged, struct.error):  # its place may still be in there
        block = b""
        lost.append("EXIF, which is damaged")
    if named:
        lost.append(f"texts that may hold a place ({', '.join(word for word, _ in named)})")
    found = replace(
        metadata,
        exif=block,
        lost=tuple(lost),
        xmp=xmp.without_places(metadata.xmp) if metadata.xmp else b"",
        photoshop=photoshop.changed(photoshop.without(metadata.photoshop, photoshop.COPIES), iptc.without_places),
        iptc=iptc.without_places(metadata.iptc),
        native=_without(metadata.native, named),
    )
    return _unextended(found, "extended XMP, which may hold a place") if jpeg.extension(metadata) else found


def _may_hold_a_place(word: str) -> bool:
    """Whether a text of a PNG does, by its keyword: ImageMagick puts EXIF and IPTC into such."""
    return word.lower().startswith(_RAW) or "gps" in word.lower() or word == png.XMP_KEYWORD


def bare(metadata: Metadata) -> Metadata:
    """Nothing but what says what the values mean and how large they are printed."""
    meaning = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs")
    kept = (part for part in metadata.native if part[4:8] in meaning or part[:2] == b"\xff\xe0")
    return Metadata(native=tuple(kept))


def marked(metadata: Metadata, *, do_not_train: bool, rights: str | None) -> Metadata:
    """With the artist's reservations in XMP. Raises ``xmp.Damaged``."""
    return replace(metadata, xmp=xmp.marked(metadata.xmp, do_not_train=do_not_train, rights=rights))


def moved(
    metadata: Metadata,
    old: Format,
    new: Format,
    *,
    density: tuple[float, float] | None = None,
    profiled: bool = False,
) -> Metadata:
    """Metadata for a file of another kind; ``lost`` says what has no place there.

    ``density``: pixels per inch, across and down, where the file says so. ``profiled``: whether a profile says what
    the values mean.
    """
    if old == new:
        return metadata
    lost = [*metadata.lost, *_without_place(metadata, old, profiled)]
    record = metadata.iptc or photoshop.iptc(metadata.photoshop)
    places = {"jpeg": (photoshop.with_iptc(metadata.photoshop, record), b""), "tiff": (metadata.photoshop, record)}
    resources, record_of_its_own = places.get(new, (b"", b""))
    if record and new not in places:
        lost.append(f"IPTC, for which a {new} has no place")
    packet = metadata.xmp
    if jpeg.extension(metadata):
        with suppress(xmp.Damaged):
            packet = xmp.unextended(packet)
    # A TIFF's is written with its pixels.
    rooms = {"png": png.density, "jpeg": jpeg.density}
    native = (rooms[new](*density),) if density and new in rooms else ()
    if density and new in ("webp", "avif") and not _meaningless(density) and not _says_density(metadata.exif):
        lost.append(f"the resolution ({density[0]:.0f} dpi), which a {new} can only hold in EXIF")
    return replace(metadata, xmp=packet, photoshop=resources, iptc=record_of_its_own, native=native, lost=tuple(lost))


def _meaningless(density: tuple[float, float]) -> bool:
    """What programs write where nobody chose a size."""
    return all(any(abs(value - usual) < 0.5 for usual in (72, 96)) for value in density)


def _says_density(block: bytes) -> bool:
    try:
        return any(value.tag == exif.X_RESOLUTION for value in exif.values(block)) if block else False
    except (exif.Damaged, struct.error):
        return False


def _without_place(metadata: Metadata, old: Format, profiled: bool) -> Iterator[str]:
    if names := png.colours(metadata, profiled) if old == "png" else []:
        yield f"what colours mean, as only a PNG says it ({', '.join(names)}): they will look different"
    if words := [word for word, _ in png.texts(metadata)] if old == "png" else []:
        yield f"texts that only a PNG holds ({', '.join(words)})"
    if old == "jpeg" and any(part[:2] == b"\xff\xfe" for part in metadata.native):
        yield "a comment that only a JPEG holds"
    if jpeg.extension(metadata):
        yield "extended XMP that only a JPEG holds"


def summary(metadata: Metadata) -> dict[str, object]:
    """What there is, for a person to read: see ``velatura inspect``."""
    found: dict[str, object] = {}
    tags = {}
    try:
        tags = {v.tag: v for v in exif.values(metadata.exif)} if metadata.exif else {}
    except (exif.Damaged, struct.error):
        found["exif"] = "damaged"
    for tag, name in ((315, "artist"), (33432, "copyright"), (305, "software"), (306, "changed")):
        if tag in tags and tags[tag].kind == 2:
            found[name] = tags[tag].data.rstrip(b"\0").decode("utf-8", "replace")
    if tags:
        found["exif tags"] = sum(1 + len(value.below) for value in tags.values())
    found["gps"] = exif.GPS in tags
    named = False
    if metadata.xmp:
        try:
            found["xmp properties"] = len(xmp.properties(metadata.xmp))
            found["data mining"] = xmp.value(metadata.xmp, xmp.PLUS, "DataMining")
            found["rights"] = xmp.value(metadata.xmp, xmp.DC, "rights")
            found["gps"] = found["gps"] or any(map(xmp.coordinates, xmp.properties(metadata.xmp)))
            named = any(xmp.place(p) and not xmp.coordinates(p) for p in xmp.properties(metadata.xmp))
        except xmp.Damaged:
            found["xmp properties"] = "damaged"
    if record := metadata.iptc or photoshop.iptc(metadata.photoshop):
        found["iptc"] = f"{len(record)} bytes"
        named = named or iptc.without_places(record) != record
    found["places by name"] = named
    if words := [word for word, _ in png.texts(metadata)]:
        found["texts"] = ", ".join(words)
    return {key: value for key, value in found.items() if value is not None}
