"""Metadata: taken out of a file as bytes, changed where it must be, and put back beside new pixels.

``containers`` are the kinds of file; ``exif``, ``xmp``, ``iptc`` and ``photoshop`` are the kinds of block in them;
``changes`` is what must or should be another. Pixels and colour profiles are libvips' own.
"""

from velatura.images.metadata.changes import (
    bare,
    marked,
    moved,
    orientation,
    renewed,
    resized,
    summary,
    upright,
    without_gps,
)

__all__ = ["bare", "marked", "moved", "orientation", "renewed", "resized", "summary", "upright", "without_gps"]
