"""The picture as it is to leave, before it is cloaked: the cloak comes last, so that nothing resamples it away."""

from __future__ import annotations

from dataclasses import replace

from velatura.errors import ImageError
from velatura.images import color, metadata
from velatura.images.artwork import Artwork
from velatura.images.delivery import Delivery
from velatura.images.formats import LOSSY, MOST_BITS, MOST_SIDE, NO_ALPHA, NO_GREY, WRITTEN, Written
from velatura.images.libvips import pyvips
from velatura.images.metadata import xmp
from velatura.images.metadata.containers import Metadata, avif, jpeg
from velatura.images.resample import resized
from velatura.images.write import unwritable


def prepared(artwork: Artwork, delivery: Delivery) -> Artwork:
    """The picture in another size and format, with other metadata; ``notes`` say what that costs.

    Raises :class:`ImageError` where the format cannot hold the picture, or the metadata cannot be changed.
    """
    format = format_of(artwork, delivery)
    artwork = _resized(artwork, *delivery.size(artwork.width, artwork.height))
    kept = metadata.bare(artwork.metadata) if delivery.strip_all else artwork.metadata
    artwork = _converted(replace(artwork, metadata=kept), format, delivery.quality)
    try:
        kept = _changed(artwork.metadata, delivery)
    except xmp.Damaged as damage:
        raise ImageError(
            f"{artwork.name}: its XMP is damaged ({damage}) and cannot be changed; --strip-all leaves it out"
        ) from None
    if (format == "jpeg" and not jpeg.holds(kept)) or (format == "avif" and not avif.holds(kept)):
        what = "EXIF or XMP" if format == "jpeg" else "EXIF"
        raise ImageError(f"{artwork.name}: {what} is larger than {format} can hold (64 kB); try --strip-all")
    notes = (f"left out: {what}" for what in kept.lost if what not in artwork.metadata.lost)
    return replace(artwork, metadata=kept, notes=(*artwork.notes, *notes))


def format_of(artwork: Artwork, delivery: Delivery) -> Written:
    """The format that it leaves in; raises :class:`ImageError` where that cannot be written."""
    format = delivery.format or artwork.format
    if format not in WRITTEN:
        raise unwritable(artwork)
    return format


def _changed(kept: Metadata, delivery: Delivery) -> Metadata:
    if delivery.strip_gps:
        kept = metadata.without_gps(kept)
    return metadata.marked(kept, do_not_train=delivery.do_not_train, rights=delivery.rights)


def _resized(artwork: Artwork, width: int, height: int) -> Artwork:
    if (width, height) == (artwork.width, artwork.height):
        return artwork
    note = f"made smaller, from {artwork.width}x{artwork.height} to {width}x{height}"
    image = artwork.image
    top = 255 if artwork.bits == 8 else 65535
    if artwork.alpha:  # a transparent pixel's hidden colour must not bleed into its neighbours
        image = image.premultiply(max_alpha=top)
    image = resized(image.cast("float"), width, height)
    if artwork.alpha:
        image = image.unpremultiply(max_alpha=top)
    image = image.rint().cast(artwork.image.format).copy(interpretation=artwork.image.interpretation)
    kept = metadata.resized(artwork.metadata, width, height)
    return replace(
        artwork, image=image.copy_memory(), width=width, height=height, metadata=kept, notes=(*artwork.notes, note)
    )


def _converted(artwork: Artwork, format: Written, quality: int | None) -> Artwork:
    """The picture as another format can hold it."""
    notes = list(artwork.notes)
    image, bits, depth, grey = artwork.image, artwork.bits, artwork.depth, artwork.grey
    most, size = MOST_SIDE.get(format), f"{artwork.width}x{artwork.height}"
    if most and max(artwork.width, artwork.height) > most:
        raise ImageError(f"{artwork.name}: has {size} pixels, but {format} at most {most} a side; try --format png")
    if artwork.alpha and format in NO_ALPHA:
        raise ImageError(f"{artwork.name}: is transparent in places, which {format} cannot be; choose --format png")
    if grey and format in NO_GREY:
        image, grey = color.grey_to_rgb(image), False
        notes.append(f"was grey, is colour now: a {format} holds no grey")
    if artwork.alpha and format == "avif":
        notes.append("an AVIF keeps its transparency nearly, not exactly: --format png does")
    if format != artwork.format:
        if depth > MOST_BITS[format]:
            notes.append(f"has {MOST_BITS[format]} bits a colour now, had {depth}: a {format} holds no more")
        depth = min(MOST_BITS[format], depth)
        if bits == 16 and depth == 8:
            interpretation = "b-w" if grey else "srgb"
            image, bits = (image * (1 / 257)).rint().cast("uchar").copy(interpretation=interpretation), 8
        if format in ("png", "tiff"):
            depth = bits
    if image is not artwork.image:
        image = image.copy_memory()
    density, profiled = _density(artwork.image), artwork.icc is not None
    kept = metadata.moved(artwork.metadata, artwork.format, format, density=density, profiled=profiled)
    notes += [f"left out: {what}" for what in kept.lost if what not in artwork.metadata.lost]
    lossless = {"png": True, "tiff": True, "jpeg": False, "avif": False}.get(format, artwork.lossless)
    return replace(
        artwork,
        **{"format": format, "image": image, "bits": bits, "depth": depth, "grey": grey, "icc": _profile(image)},
        compression=artwork.compression if format == artwork.format else None,
        lossless=lossless and (quality is None or format not in LOSSY),
        quality=artwork.quality if quality is None else quality,
        chosen=quality is not None,
        metadata=kept,
        notes=tuple(notes),
    )


def _density(image: pyvips.Image) -> tuple[float, float] | None:
    """Pixels per inch, across and down; None where nothing says: libvips guesses one to the millimetre."""
    if abs(image.xres - 1) < 1e-3 and abs(image.yres - 1) < 1e-3:
        return None
    return image.xres * 25.4, image.yres * 25.4


def _profile(image: pyvips.Image) -> bytes | None:
    return image.get("icc-profile-data") if "icc-profile-data" in image.get_fields() else None
