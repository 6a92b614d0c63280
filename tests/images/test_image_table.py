"""The table: format × mode × profile × metadata. An uncloaked copy differs from its source in nothing that shows.

δ = 0 goes the whole way: decoded, resampled, converted, encoded. exiftool says whether metadata is the same, Pillow
with LittleCMS whether the picture looks the same; both know nothing of Velatura.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

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
RGB, GREY = ("", "p3", "adobe", "prophoto"), ("", "grey")
DEEP = [*product(("rgb8", "rgb16", "rgba8", "rgba16"), RGB), *product(("grey8", "grey16", "greya8"), GREY)]
EXACT = [(k, *row) for k in ("png", "png-interlaced", "tiff", "tiff-tiled", "tiff-raw") for row in DEEP]
EXACT += product(("webp",), ("rgb8", "rgba8"), RGB)
LOSSY = [
    (k, *row) for k in ("jpeg", "jpeg-progressive") for row in (*product(("rgb8",), RGB), *product(("grey8",), GREY))
]
LOSSY += product(("webp-lossy", "avif"), ("rgb8", "rgba8"), RGB)
LOSSY += product(("avif-10",), ("rgb16", "rgba16"), RGB)
TABLE = [(*row, tagged) for row in (*EXACT, *LOSSY) for tagged in ("", "tagged")]


def copied(data: bytes) -> bytes:
    artwork = read(data)
    return encode(artwork, apply(artwork, ZERO))


@dataclass
class Copies:
    """Every row's source and copy, and what exiftool says of both: it is started three times in all."""

    folder: Path
    tags: dict[str, dict[str, object]] = field(default_factory=dict)

    def path(self, which: str, row: tuple[str, ...]) -> Path:
        return self.folder / which / f"{'_'.join(row)}.{row[0].partition('-')[0]}"

    def data(self, which: str, row: tuple[str, ...]) -> bytes:
        return self.path(which, row).read_bytes()


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> Copies:
    made = Copies(tmp_path_factory.mktemp("table"))
    for which in ("source", "copy"):
        (made.folder / which).mkdir()
    for row in TABLE:
        made.path("source", row).write_bytes(files.file(*row[:3]))
    tagged = [made.path("source", row) for row in TABLE if row[3]]
    if files.EXIFTOOL:
        files.tag(*tagged)
    for row in TABLE:
        made.path("copy", row).write_bytes(copied(made.data("source", row)))
    if files.EXIFTOOL:
        made.tags = {w: files.tags_of(made.path(w, row) for row in TABLE) for w in ("source", "copy")}
    return made


@pytest.mark.parametrize("row", TABLE, ids="_".join)
def test_a_copy_is_the_same_picture(row, copies):
    data, copy = copies.data("source", row), copies.data("copy", row)
    before, after = read(data), read(copy)
    facts = ("format", "width", "height", "bits", "depth", "grey", "alpha", "icc", "lossless", "compression", "notes")
    assert {name: getattr(after, name) for name in facts} == {name: getattr(before, name) for name in facts}
    assert before.icc == files.PROFILES[row[2]]
    assert before.bits == (16 if row[1].endswith("16") else 8)
    exact = row[:3] in EXACT
    if exact:
        assert np.array_equal(before.image.numpy(), after.image.numpy())
    elif before.alpha:
        alpha = [image.numpy()[..., 3].astype(int) for image in (before.image, after.image)]
        nearly = {"avif": 6, "avif-10": 6 * 257}.get(row[0], 0)  # an AVIF's alpha is lossy as well, and said to be
        assert np.abs(alpha[0] - alpha[1]).max() <= nearly
    apart = files.delta_e(files.rendered(data), files.rendered(copy))
    assert apart.mean() < (0.001 if exact else 1)
    assert np.quantile(apart, 0.99) < (0.01 if exact else 4)


@files.needs_exiftool
@pytest.mark.parametrize("row", TABLE, ids="_".join)
def test_metadata_is_the_same_to_exiftool(row, copies):
    before, after = (copies.tags[which][copies.path(which, row).name] for which in ("source", "copy"))
    assert ("IFD0:Artist" in before) == bool(row[3])
    assert {k: (v, after.get(k)) for k, v in before.items() if after.get(k) != v} == {}
    assert set(after) - set(before) <= files.GAINED.get(row[0].partition("-")[0], set())


@pytest.mark.parametrize("profile", ["", "p3", "adobe", "prophoto"])
@pytest.mark.parametrize("mode", ["rgb8", "rgba8"])
def test_what_the_model_gets_is_what_another_renderer_shows(mode, profile):
    data = files.file("png", mode, profile)
    ours = to_srgb(read(data).image).numpy().astype(float)
    apart = files.delta_e(ours, files.rendered(data))
    assert apart.mean() < 0.5
    assert apart.max() < 1.5


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
    exif.get_ifd(0x8769).update({0xA002: make.WIDTH, 0xA003: make.HEIGHT})
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
    below = exif.get_ifd(0x8769)
    assert (below[0xA002], below[0xA003]) == (make.HEIGHT, make.WIDTH)
