"""Every format and mode goes through read, apply, encode and read again, and keeps all that is not δ."""

from __future__ import annotations

import io
import struct
import zlib

import image_samples as make
import numpy as np
import pytest
import pyvips
import torch
from PIL import ImageOps

from velatura.images import apply, as_saved, encode, read
from velatura.images.color import to_srgb

ZERO = torch.zeros(1, 3, 64, 96)
ALL = make.LOSSLESS + make.LOSSY


def same(a, b) -> bool:
    headers = [(i.format, i.interpretation, i.bands, i.xres, i.yres, sorted(i.get_fields())) for i in (a, b)]
    return headers[0] == headers[1] and np.array_equal(a.numpy(), b.numpy())


def array(image) -> np.ndarray:
    values = image.numpy()
    return values if values.ndim == 3 else values[..., None]


@pytest.mark.parametrize(("format", "mode"), ALL)
def test_no_delta_gives_back_the_very_pixels_and_metadata(format, mode):
    artwork = make.artwork(format, mode)
    assert same(apply(artwork, ZERO), artwork.image)


@pytest.mark.parametrize(("format", "mode"), ALL)
def test_file_keeps_depth_bands_profile_and_alpha(format, mode):
    artwork = make.artwork(format, mode)
    data = encode(artwork, apply(artwork, ZERO + 0.02))
    again = read(data)
    for fact in ("format", "width", "height", "bits", "grey", "alpha", "icc", "lossless", "compression"):
        assert getattr(again, fact) == getattr(artwork, fact), fact
    assert again.bits == (16 if "16" in mode else 8)
    assert again.icc == make.profile(mode)
    if artwork.alpha:
        assert np.array_equal(array(again.image)[..., -1], make.pixels(mode)[..., -1])


@pytest.mark.parametrize(("format", "mode"), make.LOSSLESS)
def test_lossless_file_holds_exactly_what_was_applied(format, mode):
    artwork = make.artwork(format, mode)
    assert np.array_equal(artwork.image.numpy(), make.image(mode).numpy())
    image = apply(artwork, torch.rand(ZERO.shape) * 0.1 - 0.05)
    assert as_saved(artwork, image) is image
    assert np.array_equal(read(encode(artwork, image)).image.numpy(), image.numpy())


@pytest.mark.parametrize(("format", "mode"), make.LOSSY)
def test_as_saved_is_what_a_reader_of_a_lossy_file_sees(format, mode):
    artwork = make.artwork(format, mode)
    image = apply(artwork, ZERO + 0.02)
    seen = as_saved(artwork, image)
    assert np.array_equal(seen.numpy(), read(encode(artwork, image)).image.numpy())
    assert np.abs(array(seen)[..., :3].astype(int) - array(image)[..., :3]).mean() < 4


@pytest.mark.parametrize(("format", "mode"), ALL)
def test_constant_delta_lands_as_that_many_levels_of_srgb(format, mode):
    artwork = make.artwork(format, mode)
    step = torch.tensor([8.0, -6.0, 4.0]).view(1, 3, 1, 1) / 255
    saved = as_saved(artwork, apply(artwork, ZERO + step))
    if artwork.alpha:
        shown = array(artwork.image)[..., -1] == array(artwork.image)[..., -1].max()
        before, after = artwork.image[: artwork.image.bands - 1], saved[: artwork.image.bands - 1]
    else:
        before, after, shown = artwork.image, saved, np.ones((make.HEIGHT, make.WIDTH), bool)
    start = to_srgb(before).numpy().astype(float)
    if "-" in mode:  # near the edge of sRGB and beyond it, sRGB cannot tell how far a wide colour went
        shown = shown & (start > 40).all(-1)
    moved = (to_srgb(after).numpy() - start)[shown]
    expected = [2.0] * 3 if artwork.grey else [8.0, -6.0, 4.0]
    exact = "-" not in mode and artwork.lossless
    if exact:
        assert np.abs(moved - expected).max() <= 0.01
    elif artwork.lossless:  # a wide gamut: true to a level, but where noise is more than the working resolution sees
        assert np.quantile(np.abs(moved - expected), 0.99) <= 1.2
        assert np.abs(moved.mean(0) - expected).max() <= 0.3
    else:
        assert np.abs(moved.mean(0) - expected).max() <= 1


@pytest.mark.parametrize(
    ("format", "mode"), [("png", "rgba8"), ("png", "rgba16"), ("webp", "rgba8"), ("tiff", "greya8")]
)
def test_hidden_colour_stays_hidden_and_exact(format, mode):
    artwork = make.artwork(format, mode)
    image = read(encode(artwork, apply(artwork, ZERO + 0.1))).image
    before, after = array(artwork.image), array(image)
    clear = before[..., -1] == 0
    assert clear.any()
    assert np.array_equal(before[clear], after[clear])
    assert (before[~clear][..., 0] != after[~clear][..., 0]).all()


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
def test_orientation_is_applied_once(format, orientation):
    data = make.tagged(format, orientation)
    picture = make.pillow(data)  # of a TIFF, Pillow itself turns the pixels
    upright = np.asarray(picture if format == "tiff" else ImageOps.exif_transpose(picture))
    artwork = read(data)
    assert np.abs(artwork.image.numpy().astype(int) - upright).max() <= (4 if format == "jpeg" else 0)
    written = encode(artwork, artwork.image)
    assert read(written).image.get_typeof("orientation") == 0 or read(written).image.get("orientation") == 1
    seen = make.pillow(written)
    assert ImageOps.exif_transpose(seen).size == seen.size == upright.shape[1::-1]


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff"])
def test_metadata_survives(format):
    artwork = read(make.tagged(format))
    seen = make.pillow(encode(artwork, apply(artwork, ZERO + 0.02)))
    xmp = seen.info["XML:com.adobe.xmp"].encode() if format == "png" else seen.info["xmp"]
    assert b'dc:title="Sea"' in xmp
    assert b'tiff:Orientation="1"' in xmp  # EXIF ruled; a stale copy would turn the picture again in Pillow
    if format != "tiff":
        assert seen.getexif()[0x013B] == "Ada"
    if format != "webp":  # has no place for it but EXIF
        assert seen.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_xmp_orientation_without_exif_is_not_heeded():
    """Browsers do not either; Pillow and others do, and find the picture as the source had it."""
    out = io.BytesIO()
    make.pillow(make.encoded("png", make.image("rgb8"))).save(out, "WEBP", xmp=make.XMP, exif=b"", lossless=True)
    artwork = read(out.getvalue())
    assert artwork.metadata.xmp == make.XMP
    assert (artwork.width, artwork.height) == (make.WIDTH, make.HEIGHT)
    source, seen = (make.pillow(data) for data in (out.getvalue(), encode(artwork, artwork.image)))
    assert np.array_equal(seen, source)
    assert np.array_equal(ImageOps.exif_transpose(seen), ImageOps.exif_transpose(source))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_behind_the_pixels_of_a_png_is_applied_once(orientation):
    """Where libvips does not look for it."""
    data = make.tagged("png", orientation)
    at = data.index(b"eXIf") - 4
    stop = at + 12 + int.from_bytes(data[at : at + 4], "big")
    moved = data[:at] + data[stop:-12] + data[at:stop] + data[-12:]
    upright = ImageOps.exif_transpose(make.pillow(data))
    artwork = read(moved)
    assert np.array_equal(artwork.image.numpy(), upright)
    seen = make.pillow(encode(artwork, artwork.image))
    assert np.array_equal(ImageOps.exif_transpose(seen), upright)
    assert np.array_equal(seen, upright)


@pytest.mark.parametrize("mode", ["P", "1", "L", "PA"])
def test_palette_and_bilevel_become_eight_bit(mode):
    picture = make.pillow(make.encoded("png", make.image("rgba8" if mode == "PA" else "rgb8")))
    picture = picture.quantize(12) if mode in ("P", "PA") else picture.convert(mode)
    out = io.BytesIO()
    picture.save(out, "PNG")
    artwork = read(out.getvalue())
    assert (artwork.bits, artwork.grey, artwork.alpha) == (8, mode in ("1", "L"), mode == "PA")
    again = read(encode(artwork, apply(artwork, ZERO + 0.1)))
    assert not np.array_equal(again.image.numpy(), artwork.image.numpy())
    assert len(np.unique(make.pillow(encode(artwork, apply(artwork, torch.rand(ZERO.shape) * 0.3))).convert("L"))) > 16


def test_bilevel_tiff_becomes_eight_bit():
    out = io.BytesIO()
    make.pillow(make.encoded("png", make.image("grey8"))).convert("1").save(out, "TIFF", compression="group4")
    artwork = read(out.getvalue())
    assert (artwork.bits, artwork.grey, artwork.compression) == (8, True, "deflate")
    assert make.pillow(encode(artwork, apply(artwork, ZERO + 0.1))).mode == "L"


@pytest.mark.parametrize(
    ("pil", "kept"),
    [("raw", "none"), ("tiff_lzw", "lzw"), ("tiff_deflate", "deflate"), ("packbits", "packbits"), ("jpeg", "deflate")],
)
def test_tiff_keeps_its_compression(pil, kept):
    out = io.BytesIO()
    make.pillow(make.encoded("png", make.image("rgb8"))).save(out, "TIFF", compression=pil)
    artwork = read(out.getvalue())
    assert artwork.compression == kept == read(encode(artwork, artwork.image)).compression


def test_premultiplied_tiff_keeps_its_look():
    picture = make.image("rgba8")
    artwork = read(picture.tiffsave_buffer(premultiply=True))
    before, after = (i.numpy().astype(float) for i in (picture, artwork.image))
    assert np.array_equal(after[..., 3], before[..., 3])
    assert np.abs((after - before)[..., :3] * before[..., 3:] / 255).max() <= 2  # libvips rounds down, twice
    assert make.pillow(encode(artwork, apply(artwork, ZERO))).tag_v2[338] == (2,)  # and says that it is straight now


@pytest.mark.parametrize(("source", "written"), [(30, 90), (75, 90), (90, 90), (96, 96), (100, 100)])
def test_jpeg_quality_is_estimated_and_at_least_90(source, written):
    out = io.BytesIO()
    make.pillow(make.encoded("png", make.image("rgb8"))).save(out, "JPEG", quality=source)
    artwork = read(out.getvalue())
    assert artwork.quality == source
    data = encode(artwork, artwork.image)
    assert read(data).quality == written
    assert [c[1:3] for c in make.pillow(data).layer] == [(1, 1)] * 3  # 4:4:4


@pytest.mark.parametrize("blurred", [False, True])
@pytest.mark.parametrize(("source", "written"), [(50, 90), (80, 90), (90, 90), (95, 95), (100, 100)])
def test_webp_quality_is_estimated_and_at_least_90(source, written, blurred):
    image = make.image("rgb8").gaussblur(2) if blurred else make.image("rgb8")
    artwork = read(image.webpsave_buffer(Q=source))
    assert artwork.quality == pytest.approx(source, abs=3 if source >= 80 else 15)
    assert read(encode(artwork, artwork.image)).quality == pytest.approx(written, abs=3)


def test_exif_thumbnail_of_the_unprotected_picture_is_dropped():
    picture = make.image("rgb8").copy()
    picture.set_type(pyvips.GValue.blob_type, "jpeg-thumbnail-data", make.encoded("jpeg", make.image("grey8")))
    source = picture.jpegsave_buffer()
    assert source.count(b"\xff\xd8\xff") == 2
    artwork = read(source)
    assert encode(artwork, artwork.image).count(b"\xff\xd8\xff") == 1


def test_png_gamma_is_kept():
    data = make.encoded("png", make.image("rgb8"))
    gamma = struct.pack(">I4sI", 4, b"gAMA", 55556)
    gamma += struct.pack(">I", zlib.crc32(gamma[4:]))
    artwork = read(data[:33] + gamma + data[33:])
    written = encode(artwork, artwork.image)
    assert written.count(gamma) == 1
    assert make.pillow(written).info["gamma"] == pytest.approx(0.55556)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff"])
def test_same_input_same_bytes(format):
    delta = torch.rand(ZERO.shape, generator=torch.manual_seed(3)) * 0.1 - 0.05
    first, second = (make.artwork(format, "rgb8") for _ in range(2))
    assert encode(first, apply(first, delta)) == encode(second, apply(second, delta))
