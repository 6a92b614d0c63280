"""Metadata that must change because the pixels did: orientation, thumbnails. Everything else stays."""

from __future__ import annotations

import re

from velatura.images.libvips import pyvips

# Besides the thumbnail: what libvips remembers of a palette or a bilevel file, since the output is neither.
_STALE = ("jpeg-thumbnail-data", "palette", "bits-per-sample", "heif-bitdepth")


def upright(image: pyvips.Image) -> pyvips.Image:
    """Apply the EXIF orientation once, and leave no trace of it for another reader to apply again."""
    fields = image.get_fields()
    oriented = "orientation" in fields
    # A copy of the header only; without one the loader's own record would change.
    image = image.autorot() if oriented and image.get("orientation") > 1 else image.copy()
    # An EXIF thumbnail would still show the unprotected picture, turned the old way.
    for field in _STALE:
        if field in fields:
            image.remove(field)
    # Pillow and others fall back to XMP's orientation; where EXIF has one it rules, so XMP's is only a stale copy.
    if oriented and "xmp-data" in fields:
        xmp = re.sub(rb"(tiff:Orientation(?:=[\"']|>))[1-8]", rb"\g<1>1", image.get("xmp-data"))
        image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    return image
