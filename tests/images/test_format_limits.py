"""What a format cannot hold is refused before the cloak is made, and with one line."""

from __future__ import annotations

from dataclasses import replace

import file_samples as files
import pytest
import pyvips

from velatura.errors import ImageError
from velatura.images import Delivery, as_saved, encode, prepared, read
from velatura.images.metadata import exif
from velatura.images.metadata.containers import Metadata


@pytest.mark.parametrize(("format", "most"), [("jpeg", 65500), ("webp", 16383), ("avif", 16384)])
def test_a_side_that_a_format_cannot_hold_is_refused_before_the_cloak(format, most):
    wide = read(pyvips.Image.black(most + 1, 2, bands=3).copy(interpretation="srgb").pngsave_buffer())
    with pytest.raises(ImageError, match=rf"{format} at most {most} a side; try --format png"):
        prepared(wide, Delivery(format=format))
    unprepared = replace(wide, format=format, lossless=False)
    with pytest.raises(ImageError, match="--format png"):
        as_saved(unprepared, unprepared.image)
    assert prepared(wide, Delivery(format=format, to="2000")).width == 2000


def test_exif_that_an_avif_cannot_hold_is_refused():
    for size, fits in ((64_900, True), (65_600, False)):
        block = exif.block_of((exif.Value(270, 2, size, b"x" * size),), "<")
        artwork = replace(read(files.file("avif", "rgb8")), metadata=Metadata(exif=block))
        if fits:
            assert block in encode(prepared(artwork, Delivery()), artwork.image)
            continue
        with pytest.raises(ImageError, match=r"larger than avif can hold \(64 kB\); try --strip-all"):
            prepared(artwork, Delivery())
        with pytest.raises(ImageError, match="--strip-all"):
            encode(artwork, artwork.image)
        assert prepared(artwork, Delivery(strip_all=True)).metadata.exif == b""


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "avif"])
def test_a_quality_makes_no_lossless_format_lossy(kind):
    artwork = prepared(read(files.file(kind, "rgb8")), Delivery(quality=95))
    assert artwork.lossless == (kind in ("png", "tiff"))
