"""A file, or its bytes, as an :class:`Artwork`; or one clear line that says why not."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from velatura.errors import ImageError, ImageTooLarge, MissingExtra
from velatura.images import color, heic, metadata
from velatura.images.artwork import Artwork, printable
from velatura.images.formats import Format
from velatura.images.libvips import pyvips
from velatura.images.metadata import containers
from velatura.images.metadata.containers import Facts, Metadata, TooManyPixels, Unsupported, avif

MOST_PIXELS = 300_000_000
_GREY, _COLOUR = ("b-w", "grey16"), ("srgb", "rgb", "rgb16")
_CONVERT = "convert it to 8 or 16 bit RGB first"
_LOADERS = {"avif": "heif"}


def read(source: Path | bytes, *, page: int | None = None, most_pixels: int = MOST_PIXELS) -> Artwork:
    """Read a PNG, JPEG, WebP, TIFF, AVIF, GIF or HEIC, recognised by its content; ``page`` (from 1) of a TIFF.

    All pixels are decoded once here, so that a damaged file is refused now and not half-way through its protection.
    Raises :class:`ImageError`: "NAME: what is wrong; what to do" (:class:`ImageTooLarge`, before anything is decoded,
    beyond ``most_pixels``), or :class:`MissingExtra`. ``page`` 0 is none, where one could be asked for with --page.
    """
    name = printable(source) if isinstance(source, Path) else "the picture"
    try:
        with _opened(source) as data:
            return _read(source, data, page, most_pixels)
    except TooManyPixels as error:
        raise ImageTooLarge(f"{name}: {error}") from None
    except Unsupported as error:
        raise ImageError(f"{name}: {error}") from None
    except MissingExtra:
        raise
    except OSError as error:
        raise ImageError(f"{name}: {error.strerror or error}; check the path and its permissions") from None
    except pyvips.Error as error:
        raise _damaged(name, error.detail) from None
    except (ValueError, RuntimeError, SyntaxError, EOFError) as error:  # pillow-heif's and Pillow's words for damage
        raise _damaged(name, str(error)) from None


def _read(source: Path | bytes, data: Any, page: int | None, most_pixels: int) -> Artwork:
    format = containers.sniff(data)
    facts = containers.facts(format, data)
    if format != "tiff":
        _refuse_missing(page, 1)
    if format == "heic":
        found = heic.load(bytes(data), most_pixels)
        image, taken, depth, turned = found.image, found.metadata, found.depth, True
        _refuse_unsuitable(image, None, most_pixels)
    else:
        image = _loaded(source, format, page)
        _refuse_unsuitable(image, page, most_pixels)
        depth = image.get("bits-per-sample") if format == "avif" else 8 if image.format == "uchar" else 16
        taken = _of_libvips(image) if format == "avif" else containers.take(format, data, page or 1)
        # libvips decodes at the first pixel asked for; asking for the mean makes it decode, and find the damage, now.
        image.avg()
        # libheif has turned an AVIF as its container says; what EXIF and XMP say of it is not heeded.
        lies = None if format == "avif" else metadata.orientation(image, taken)
        turned = format == "avif" or lies is not None
        image = metadata.upright(image, lies)
    notes = []
    if format in ("avif", "heic"):
        image = _coloured(image, data)
    if format == "avif" and image.format == "ushort":
        image = image | (image >> depth)  # the value's bits stand in the upper ones: white becomes 65535
    if image.interpretation == "cmyk":
        image = color.cmyk_to_srgb(image)
        notes.append("was CMYK, is sRGB now, by its own profile: keep the original for print")
    if not color.profile_fits(image):  # no file would be written with it
        image = color.without_profile(image)
        notes.append("left out: a profile that is broken or for another kind of colour; values are read as sRGB")
    return _artwork(source, len(data), format, facts, image, depth, metadata.renewed(taken, turned=turned), notes)


def _artwork(
    source: Path | bytes,
    size: int,
    format: Format,
    facts: Facts,
    image: pyvips.Image,
    depth: int,
    kept: Metadata,
    notes: list[str],
) -> Artwork:
    return Artwork(
        path=source if isinstance(source, Path) else None,
        format=format,
        image=image,
        width=image.width,
        height=image.height,
        bits=8 if image.format == "uchar" else 16,
        depth=depth,
        grey=image.bands < 3,
        alpha=bool(image.hasalpha()),
        icc=image.get(color.PROFILE) if color.PROFILE in image.get_fields() else None,
        source_bytes=size,
        quality=facts.quality,
        lossless=facts.lossless,
        compression=facts.compression,
        metadata=kept,
        notes=(*notes, *(f"left out: {what}" for what in kept.lost)),
    )


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Any]:
    """The file's bytes, mapped rather than read."""
    if isinstance(source, bytes):
        if not source:
            raise Unsupported("is empty; copy or export it again")
        yield source
        return
    if "\0" in str(source) or not source.exists():
        raise Unsupported("does not exist; check the path")
    if source.is_dir():
        raise Unsupported("is a folder; name the pictures inside it")
    if not source.is_file():  # a pipe or a device could block for ever
        raise Unsupported("is not a regular file; copy it to one first")
    with source.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            raise Unsupported("is empty; copy or export it again")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _loaded(source: Path | bytes, format: Format, page: int | None) -> pyvips.Image:
    """libvips' own loader for the format, for random access, strict about damage; nothing is decoded yet."""
    options: dict[str, Any] = {"fail_on": "error"}
    if page and format == "tiff":
        options["page"] = page - 1
    name = f"{_LOADERS.get(format, format)}load"
    # As bytes: a name need not be UTF-8.
    buffered = isinstance(source, bytes)
    load = partial(getattr(pyvips.Image, name + "_buffer" * buffered), source if buffered else os.fsencode(source))
    if "page" in options:
        _refuse_missing(page, load().get("n-pages"))
    image = load(**options)
    if not isinstance(image, pyvips.Image):
        raise TypeError(f"libvips gave back {type(image)}")
    return image


def _coloured(image: pyvips.Image, data: Any) -> pyvips.Image:
    """With the profile of the colours that an AVIF or HEIC names by number, where it has none of its own."""
    named = None if color.PROFILE in image.get_fields() else avif.colours(data)
    if named is None:
        return image
    if named != avif.P3:
        primaries, transfer = named
        what = "HDR" if transfer in (16, 18) else "other colours than sRGB"
        raise Unsupported(
            f"holds {what} without a profile (nclx {primaries}/{transfer}); export it as sRGB or with one"
        )
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, color.PROFILE, pyvips.Image.profile_load("p3"))
    return image


def _refuse_missing(page: int | None, pages: int) -> None:
    if page is not None and page > pages:
        raise Unsupported(f"has no page {page}, but {pages}; choose another with --page, or leave it out")


def _of_libvips(image: pyvips.Image) -> Metadata:
    exif, xmp = (image.get(name) if name in image.get_fields() else b"" for name in ("exif-data", "xmp-data"))
    return Metadata(exif=exif.removeprefix(b"Exif\0\0"), xmp=xmp)


def _refuse_unsuitable(image: pyvips.Image, page: int | None, most_pixels: int) -> None:
    """Refuse, by its header alone, what the rest of the package could not give back as it was."""
    kind, bands, megapixels = image.interpretation, image.bands, image.width * image.height / 1e6
    fields = image.get_fields()
    pages = image.get("n-pages") if "n-pages" in fields else 1
    if "gif" in str(image.get("vips-loader") if "vips-loader" in fields else "") and pages > 1:
        raise Unsupported("is an animated GIF; save one frame of it as a still picture")
    if pages > 1 and not page:
        choose = "" if page is None else "choose one with --page N, or "
        raise Unsupported(f"holds {pages} pages; {choose}save each as a picture of its own")
    if megapixels > most_pixels / 1e6:
        raise TooManyPixels(f"has {megapixels:.0f} megapixels, more than {most_pixels / 1e6:g}; make it smaller")
    if image.format not in ("uchar", "ushort"):
        raise Unsupported(f"stores its values as {image.format}, not as 8 or 16 bit whole numbers; {_CONVERT}")
    if kind == "cmyk":
        if bands != 4:
            raise Unsupported(f"is CMYK with {bands} channels; convert it to RGB first")
        if not color.cmyk_profile(image):
            raise Unsupported("is CMYK without a usable profile of its inks; convert it to RGB first")
    elif kind not in _GREY + _COLOUR:
        raise Unsupported(f"has the colour model {kind}, not RGB or grey; {_CONVERT}")
    elif bands not in ((1, 2) if kind in _GREY else (3, 4)):
        raise Unsupported(f"has {bands} channels, more than colour and one alpha; flatten it first")


def _damaged(name: str, detail: str) -> ImageError:
    # The first line is the cause; what libvips adds to it depends on which of its threads came first.
    cause = next(iter(detail.strip().splitlines()), "").removeprefix(f"{name}: ")
    words = " ".join(cause.split())[:120]
    return ImageError(f"{name}: cannot be decoded, damaged or cut short ({words}); copy or export it again")
