"""A file, or its bytes, as an :class:`Artwork`; or one clear line that says why not."""

from __future__ import annotations

import io
import os
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from velatura.errors import ImageError
from velatura.images import metadata
from velatura.images.artwork import Artwork, printable
from velatura.images.libvips import pyvips
from velatura.images.sniff import Facts, Unsupported, sniff

MOST_PIXELS = 300_000_000
_GREY, _COLOUR = ("b-w", "grey16"), ("srgb", "rgb", "rgb16")
_CONVERT = "convert it to 8 or 16 bit RGB first"


def read(source: Path | bytes) -> Artwork:
    """Read a PNG, JPEG, WebP or TIFF, recognised by its content.

    All pixels are decoded once here, so that a damaged file is refused now and not half-way through its protection.
    Raises :class:`ImageError`: "NAME: what is wrong; what to do".
    """
    name = printable(source) if isinstance(source, Path) else "the picture"
    try:
        with _opened(source) as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                raise Unsupported("is empty; copy or export it again")
            file.seek(0)
            facts = sniff(file)
        image = _loaded(source, facts)
        _refuse_unsuitable(image)
        # libvips decodes at the first pixel asked for; asking for the mean makes it decode, and find the damage, now.
        image.avg()
        image = metadata.upright(image)
    except Unsupported as error:
        raise ImageError(f"{name}: {error}") from None
    except OSError as error:
        raise ImageError(f"{name}: {error.strerror or error}; check the path and its permissions") from None
    except pyvips.Error as error:
        detail = " ".join(str(error.detail).split())[:120]
        raise ImageError(
            f"{name}: cannot be decoded, damaged or cut short ({detail}); copy or export it again"
        ) from None
    fields = image.get_fields()
    return Artwork(
        path=source if isinstance(source, Path) else None,
        format=facts.format,
        image=image,
        width=image.width,
        height=image.height,
        bits=8 if image.format == "uchar" else 16,
        grey=image.bands < 3,
        alpha=bool(image.hasalpha()),
        icc=image.get("icc-profile-data") if "icc-profile-data" in fields else None,
        source_bytes=size,
        quality=facts.quality,
        lossless=facts.lossless,
        compression=facts.compression,
        png_colour=facts.png_colour,
    )


def _opened(source: Path | bytes) -> BinaryIO | nullcontext[BinaryIO]:
    if isinstance(source, bytes):
        return nullcontext(io.BytesIO(source))
    if "\0" in str(source) or not source.exists():
        raise Unsupported("does not exist; check the path")
    if source.is_dir():
        raise Unsupported("is a folder; name the pictures inside it")
    if not source.is_file():  # a pipe or a device could block for ever
        raise Unsupported("is not a regular file; copy it to one first")
    return source.open("rb")


def _loaded(source: Path | bytes, facts: Facts) -> pyvips.Image:
    """libvips' own loader for the format, for random access, strict about damage; nothing is decoded yet."""
    if isinstance(source, bytes):
        image = getattr(pyvips.Image, f"{facts.format}load_buffer")(source, fail_on="error")
    else:
        # As bytes: a name need not be UTF-8.
        image = getattr(pyvips.Image, f"{facts.format}load")(os.fsencode(source), fail_on="error")
    if not isinstance(image, pyvips.Image):
        raise TypeError(f"libvips gave back {type(image)}")
    return image


def _refuse_unsuitable(image: pyvips.Image) -> None:
    """Refuse, by its header alone, what the rest of the package could not give back as it was."""
    kind, bands, megapixels = image.interpretation, image.bands, image.width * image.height / 1e6
    fields = image.get_fields()
    if "n-pages" in fields and image.get("n-pages") > 1:
        raise Unsupported(f"holds {image.get('n-pages')} pages; save each page as a picture of its own")
    if megapixels > MOST_PIXELS / 1e6:
        raise Unsupported(f"has {megapixels:.0f} megapixels, more than {MOST_PIXELS / 1e6:.0f}; make it smaller")
    if kind == "cmyk":
        raise Unsupported("is CMYK; convert it to RGB first")
    if image.format not in ("uchar", "ushort"):
        raise Unsupported(f"stores its values as {image.format}, not as 8 or 16 bit whole numbers; {_CONVERT}")
    if kind not in _GREY + _COLOUR:
        raise Unsupported(f"has the colour model {kind}, not RGB or grey; {_CONVERT}")
    if bands not in ((1, 2) if kind in _GREY else (3, 4)):
        raise Unsupported(f"has {bands} channels, more than colour and one alpha; flatten it first")
