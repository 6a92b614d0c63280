"""The table: format × mode × profile × metadata. An uncloaked copy differs from its source in nothing that shows.

δ = 0 goes the whole way: decoded, resampled, converted, encoded. exiftool says whether metadata is the same, Pillow
with LittleCMS whether the picture looks the same; both know nothing of Velatura.
"""

from __future__ import annotations

import io

import file_samples as files
import image_samples as make
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from velatura.errors import ImageError
from velatura.images import apply, as_saved, encode, read
from velatura.images.color import to_srgb

ZERO = torch.zeros(1, 3, 64, 96)
MODES = ("rgb8", "rgb16", "rgba8", "rgba16", "grey8", "greya8")
WIDE = ("p3", "adobe", "prophoto")
EXACT = [(kind, mode, "") for kind in ("png", "tiff") for mode in MODES]
EXACT += [(kind, mode, icc) for kind in ("png", "tiff") for mode in ("rgb8", "rgb16") for icc in WIDE]
EXACT += [("png-interlaced", "rgb8", ""), ("tiff-tiled", "rgb16", "adobe"), ("tiff-raw", "rgb8", "")]
EXACT += [("webp", "rgb8", ""), ("webp", "rgba8", "p3"), ("png", "rgba8", "prophoto"), ("png", "grey16", "grey")]
LOSSY = [("jpeg", "rgb8", icc) for icc in ("", "p3", "adobe", "prophoto")] + [("jpeg", "grey8", "grey")]
LOSSY += [("jpeg-progressive", "rgb8", ""), ("webp-lossy", "rgb8", "p3"), ("webp-lossy", "rgba8", "")]
LOSSY += [("avif", "rgb8", "p3"), ("avif", "rgba8", ""), ("avif-10", "rgb16", "")]
TAGGED = ["png", "jpeg", "webp", "webp-lossy", "tiff", "tiff-tiled", "tiff-raw", "avif"]


def copied(data: bytes) -> bytes:
    artwork = read(data)
    return encode(artwork, apply(artwork, ZERO))


@pytest.mark.parametrize(("kind", "mode", "profile"), EXACT + LOSSY)
def test_a_copy_is_the_same_picture(kind, mode, profile):
    data = files.file(kind, mode, profile)
    before, copy = read(data), copied(data)
    after = read(copy)
    facts = ("format", "width", "height", "bits", "depth", "grey", "alpha", "icc", "lossless", "compression", "notes")
    assert {name: getattr(after, name) for name in facts} == {name: getattr(before, name) for name in facts}
    if (kind, mode, profile) in EXACT:
        assert np.array_equal(before.image.numpy(), after.image.numpy())
    elif before.alpha:
        alpha = (image.numpy()[..., 3].astype(int) for image in (before.image, after.image))
        assert np.abs(next(alpha) - next(alpha)).max() <= (6 if kind == "avif" else 0)
    if before.bits == 8:  # Pillow opens deep colour as 8 bits
        apart = files.delta_e(files.rendered(data), files.rendered(copy))
        assert apart.mean() < 1
        assert np.quantile(apart, 0.99) < (0.01 if (kind, mode, profile) in EXACT else 4)


@pytest.mark.parametrize("profile", ["", "p3", "adobe", "prophoto"])
@pytest.mark.parametrize("mode", ["rgb8", "rgba8"])
def test_what_the_model_gets_is_what_another_renderer_shows(mode, profile):
    data = files.file("png", mode, profile)
    ours = to_srgb(read(data).image).numpy().astype(float)
    apart = files.delta_e(ours, files.rendered(data))
    assert apart.mean() < 0.5
    assert apart.max() < 1.5


@files.needs_exiftool
@pytest.mark.parametrize("kind", TAGGED)
def test_metadata_is_the_same_to_exiftool(kind, tmp_path):
    path, copy = (tmp_path / f"{name}.{kind.partition('-')[0]}" for name in ("source", "copy"))
    path.write_bytes(files.file(kind, "rgb8", "adobe"))
    files.tag(path)
    copy.write_bytes(copied(path.read_bytes()))
    before, after = files.tags(path), files.tags(copy)
    assert "IFD0:Artist" in before
    assert {k: (v, after.get(k)) for k, v in before.items() if after.get(k) != v} == {}
    assert set(after) == set(before)


@files.needs_exiftool
@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff"])
def test_a_copy_of_an_untagged_file_gains_no_tags(format, tmp_path):
    path, copy = (tmp_path / f"{name}.{format}" for name in ("source", "copy"))
    Image.fromarray(make.pixels("rgb8")).save(path)
    copy.write_bytes(copied(path.read_bytes()))
    gained = set(files.tags(copy)) - set(files.tags(path))
    required = {"IFD0:XResolution", "IFD0:YResolution", "IFD0:ResolutionUnit", "IFD0:SampleFormat"}
    assert gained <= (required if format == "tiff" else set())


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_once(format, orientation):
    data = make.tagged(format, orientation)
    source = make.pillow(data)
    shown = np.asarray(source if format == "tiff" else ImageOps.exif_transpose(source), int)
    copy = make.pillow(copied(data))
    assert copy.getexif().get(0x0112, 1) == 1
    seen = np.asarray(ImageOps.exif_transpose(copy), int)
    assert seen.shape == shown.shape
    assert np.abs(seen - shown).max() <= (8 if format == "jpeg" else 0)


def test_palette_png_is_the_same_picture():
    data = files.palette_png()
    assert np.array_equal(files.rendered(data), files.rendered(copied(data)))


@pytest.mark.parametrize(("format", "ycck"), [("jpeg", False), ("jpeg", True), ("tiff", False)])
def test_cmyk_becomes_srgb_as_littlecms_shows_it_and_says_so(format, ycck):
    data = files.cmyk(format, ycck=ycck)
    artwork = read(data)
    assert (artwork.image.bands, artwork.icc is not None) == (3, True)
    assert any("CMYK" in note for note in artwork.notes)
    assert make.pillow(copied(data)).mode == "RGB"
    apart = files.delta_e(files.rendered(data), artwork.image.numpy().astype(float))
    assert apart.mean() < 0.2
    assert apart.max() < 2


@pytest.mark.parametrize("mode", ["rgba8", "rgba16"])
@pytest.mark.parametrize("profile", ["", "p3"])
def test_soft_edges_get_no_halo(mode, profile):
    """Over any ground, what changes at a soft edge is δ times the opacity there, and nothing else."""
    artwork = read(files.file("png", mode, profile))
    step = 10 / 255
    saved = as_saved(artwork, apply(artwork, ZERO + step))
    top = 255 if artwork.bits == 8 else 65535
    before, after = (i.numpy().astype(float) / top for i in (artwork.image, saved))
    alpha = before[..., 3:]
    assert np.array_equal(before[..., 3], after[..., 3])
    soft = (alpha > 0.05) & (alpha < 0.95)
    assert soft.any()
    for ground in (0.0, 0.5, 1.0):
        moved = (alpha * after[..., :3] + (1 - alpha) * ground) - (alpha * before[..., :3] + (1 - alpha) * ground)
        share = (moved / np.maximum(alpha, 1e-9))[soft[..., 0]]
        assert share.min() > 0
        assert share.max() < 2.5 * step


@pytest.mark.parametrize("kind", ["gif", "heic"])
def test_kinds_that_are_read_and_not_written(kind):
    data = heic() if kind == "heic" else gif()
    artwork = read(data)
    assert (artwork.format, artwork.width, artwork.height) == (kind, make.WIDTH, make.HEIGHT)
    assert np.abs(artwork.image.numpy()[..., :3].astype(int) - make.pixels("rgb8")).mean() < 12
    with pytest.raises(ImageError, match="--format png"):
        encode(artwork, artwork.image)


def gif() -> bytes:
    out = io.BytesIO()
    Image.fromarray(make.pixels("rgb8")).quantize(200).save(out, "GIF")
    return out.getvalue()


def heic(orientation: int = 1) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif (extra heif) is not installed")
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = orientation, "Ada"
    file = pillow_heif.from_pillow(Image.fromarray(make.pixels("rgb8")))
    file.save(out, quality=95, exif=exif.tobytes())
    return out.getvalue()


def test_heic_is_upright_with_its_metadata():
    artwork = read(heic(6))
    assert (artwork.width, artwork.height) == (make.HEIGHT, make.WIDTH)
    upright = np.rot90(make.pixels("rgb8"), -1).astype(int)
    assert np.abs(artwork.image.numpy().astype(int) - upright).mean() < 8
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + artwork.metadata.exif)
    assert (exif[0x0112], exif[0x013B]) == (1, "Ada")
