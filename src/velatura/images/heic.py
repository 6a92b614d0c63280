"""HEIC by pillow-heif (extra ``heif``): the libvips that comes with pyvips may not carry a decoder of HEVC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from velatura.errors import MissingExtra
from velatura.images.libvips import pyvips
from velatura.images.metadata.containers import Metadata, TooManyPixels


@dataclass(frozen=True)
class Heic:
    """The main picture, upright as the file says, its metadata, and the bits that a value has in the file."""

    image: pyvips.Image
    metadata: Metadata
    depth: int


def load(data: bytes, most_pixels: int) -> Heic:
    """Decode. Raises :class:`MissingExtra` without pillow-heif, ``ValueError`` and others on damage."""
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtra("reading HEIC", "heif") from None
    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False)
    width, height = file.size
    if width * height > most_pixels:
        raise TooManyPixels(f"has {width * height / 1e6:.0f} megapixels, more than {most_pixels / 1e6:g}; shrink it")
    array = np.asarray(file)
    depth = int(file.info.get("bit_depth") or 8)
    if array.dtype == np.uint16:  # values of `depth` bits stand in the upper ones; repeat them below: white is 65535
        array = array | (array >> depth)
    deep, bands = array.dtype == np.uint16, 1 if array.ndim == 2 else array.shape[2]
    image = pyvips.Image.new_from_array(np.ascontiguousarray(array))
    kind = ("grey16" if deep else "b-w") if bands < 3 else ("rgb16" if deep else "srgb")
    image = image.copy(interpretation=kind)
    if profile := file.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", bytes(profile))
    exif, xmp = (bytes(file.info.get(name) or b"") for name in ("exif", "xmp"))
    return Heic(image, Metadata(exif=exif.removeprefix(b"Exif\0\0"), xmp=xmp), depth)
