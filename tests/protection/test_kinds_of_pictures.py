"""Pictures of every kind come back as their kind, and are left alone where there is nothing to protect."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw
from torch import Tensor

from velatura.cli.protect import protect_command
from velatura.images import read
from velatura.images.kinds import kind
from velatura.protection import Protected, Protector, Settings
from velatura.protection.panels import PANELS
from velatura.protection.publishing import forecast

SETTINGS = Settings(models=("mini",), effort="fast", resolutions=(128,), style="Aubrey Beardsley")
QUICK = ["-m", "mini", "--effort", "fast", "--resolution", "128", "--style", "Aubrey Beardsley"]


def png(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    return np.asarray(image.convert("RGBA") if image.mode == "P" else image).astype(int)


@pytest.fixture(scope="module")
def protector() -> Protector:
    return Protector(SETTINGS)


def cloaked(protector: Protector, data: bytes) -> Protected:
    done = protector.protect(read(data))
    figures = done.report["figures"]
    assert figures["flip"] <= 1.01 * SETTINGS.visible()
    assert figures["lpips"] <= SETTINGS.budget
    assert (pixels(done.data) != pixels(data)).any()
    return done


def drawing(side: int = 256) -> Image.Image:
    """Ink on paper with some tones: about what a page looks like."""
    page = Image.new("L", (2 * side, 2 * side), 250)
    pen = ImageDraw.Draw(page)
    for i in range(14):
        pen.arc((20 + 11 * i, 30, 2 * side - 15 * i, 2 * side - 40), 20 * i, 20 * i + 230, 20, 5)
    for i in range(6):
        pen.rectangle((40 + 70 * i, 2 * side - 110, 90 + 70 * i, 2 * side - 40), 60 + 28 * i)
    return page.resize((side, side), Image.Resampling.LANCZOS)


def test_a_black_and_white_page_saved_as_colour_stays_grey(protector: Protector) -> None:
    data = png(drawing().convert("RGB"))
    done = cloaked(protector, data)
    found = pixels(done.data)
    assert found.shape[2] == 3
    assert (found == found[..., :1]).all()
    assert done.report["kind"]["grey"] is True


def test_sepia_stays_on_its_line_of_tones(protector: Protector, make_scene: Callable[..., Tensor]) -> None:
    luma = make_scene(200, 256, 1)[0].mean(0).numpy()[..., None]
    paper, ink = np.array([246.0, 233.0, 205.0]), np.array([52.0, 32.0, 14.0])
    data = png(Image.fromarray((ink + luma * (paper - ink)).round().astype(np.uint8)))
    assert kind(read(data)).tones is not None
    done = cloaked(protector, data)
    found = pixels(done.data)
    weights = np.array([0.299, 0.587, 0.114])
    where = (found @ weights - ink @ weights) / ((paper - ink) @ weights)
    off = np.abs(found - (ink + where[..., None] * (paper - ink)))
    between = (where > 0.02) & (where < 0.98)  # the line goes on beyond, to black and white
    assert off[between].max() <= 5, "a step or two of 8 bits, and what a line of 33 knots leaves"
    assert off[between].mean() < 1.5
    assert done.report["kind"]["name"] == "one hue"


def sprite(factor: int) -> Image.Image:
    rng = np.random.default_rng(3)
    palette = np.array([(30, 20, 60), (120, 60, 40), (200, 150, 90), (240, 220, 160), (60, 120, 90), (20, 70, 110)])
    coarse = Image.fromarray(rng.integers(0, 6, (9, 9)).astype(np.uint8)).resize((36, 36), Image.Resampling.NEAREST)
    cells = palette[(np.asarray(coarse) + rng.integers(0, 2, (36, 36))) % 6].astype(np.uint8)
    return Image.fromarray(cells.repeat(factor, 0).repeat(factor, 1))


@pytest.mark.parametrize("factor", [6, 10])
def test_pixel_art_stays_on_its_grid(protector: Protector, factor: int) -> None:
    data = png(sprite(factor))
    done = cloaked(protector, data)
    assert done.report["kind"]["name"] == "pixel art"
    found = pixels(done.data)
    assert found.shape == (36 * factor, 36 * factor, 3)
    assert (found == found[::factor, ::factor].repeat(factor, 0).repeat(factor, 1)).all(), "every cell is one colour"


def test_pixel_art_of_a_real_file(protector: Protector, shared: Path) -> None:
    data = (shared / "cases/pixel10x.png").read_bytes()
    found = pixels(cloaked(protector, data).data)
    assert (found == found[::10, ::10].repeat(10, 0).repeat(10, 1)[: len(found), : found.shape[1]]).all()


def test_a_picture_in_a_transparent_canvas_is_changed_as_it_is_alone(
    protector: Protector, make_scene: Callable[..., Tensor]
) -> None:
    scene = (make_scene(200, 200, 4)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    alone = Image.fromarray(scene)
    canvas = Image.new("RGBA", (512, 512), (255, 255, 255, 0))
    canvas.paste(alone, (150, 90))
    one, other = (cloaked(protector, png(image)) for image in (alone, canvas))
    first = np.abs(pixels(one.data) - scene.astype(int)).mean()
    found = pixels(other.data)
    inside = found[90:290, 150:350]
    second = np.abs(inside[..., :3] - scene.astype(int)).mean()
    assert second == pytest.approx(first, rel=0.2)
    assert (found[..., 3] == np.asarray(canvas)[..., 3]).all()
    outside = np.ones((512, 512), bool)
    outside[90:290, 150:350] = False
    assert (found[outside] == np.asarray(canvas).astype(int)[outside]).all()


@pytest.mark.parametrize(("name", "why"), [
    ("white", "it is one colour"), ("nothing", "it is transparent everywhere"), ("watermark", "nearly transparent")
])  # fmt: skip
def test_where_there_is_nothing_to_protect_the_file_is_left_as_it_is(protector: Protector, name: str, why: str) -> None:
    image = Image.new("RGBA", (200, 120), (255, 255, 255, 255 if name == "white" else 0))
    if name == "watermark":
        ImageDraw.Draw(image).text((20, 40), "© Ada", (0, 0, 0, 25))
    data = png(image)
    done = protector.protect(read(data), on_step=lambda step: pytest.fail("there is nothing to optimise"))
    assert (pixels(done.data) == pixels(data)).all()
    assert done.verdict.word == done.report["verdict"]["word"] == "nothing"
    assert why in done.verdict.sentence
    assert (done.report["style"], done.report["families"], done.report["unknown"]) == (None, {}, None)
    for panel in PANELS.values():
        assert panel(done)[:4] == b"\x89PNG"


def test_a_batch_counts_apart_what_was_left_alone(tmp_path: Path, make_scene: Callable[..., Tensor]) -> None:
    art = tmp_path / "art"
    art.mkdir()
    Image.new("RGB", (200, 120), "white").save(art / "white.png")
    Image.fromarray((make_scene(160, 200, 1)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(art / "a.png")
    for said in ("1 protected, 1 left as they are (nothing to protect)", "2 of 2 done already"):
        done = CliRunner().invoke(protect_command, [str(art), "-o", str(tmp_path / "out"), *QUICK])
        assert done.exit_code == 0, done.output
        assert said in done.output
    assert (pixels((tmp_path / "out/white.png").read_bytes()) == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
def test_at_intensity_0_it_is_the_very_pixels_and_no_network_is_asked(
    mode: str, tmp_path: Path, make_scene: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = (make_scene(90, 120, 4)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    image = Image.fromarray(scene).convert("RGB" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 251)
    image.save(tmp_path / "a.png")
    for what in ("extractors.load", "extractors.load_all", "transfer.paint", "choose", "glaze"):
        place, _, name = f"velatura.protection.protector.{what}".rpartition(".")
        monkeypatch.setattr(f"{place}.{name}", lambda *rest, what=what, **more: pytest.fail(f"asked for {what}"))
    out = tmp_path / "out"
    done = CliRunner().invoke(protect_command, [str(tmp_path / "a.png"), "-o", str(out), *QUICK, "-i", "0"])
    assert done.exit_code == 0, done.output
    assert "1 copied without a cloak (intensity 0)" in done.output
    assert "target style" not in done.output
    before, after = (pixels((folder / "a.png").read_bytes()) for folder in (tmp_path, out))
    assert (before[..., : after.shape[-1]] == after).all() if mode == "P" else (before == after).all()


def flat(side: int = 480) -> Image.Image:
    image = Image.new("RGB", (side, side), (236, 214, 160))
    pen = ImageDraw.Draw(image)
    for i, colour in enumerate(((180, 60, 40), (40, 90, 120), (30, 40, 50), (220, 170, 60))):
        pen.ellipse((30 + 90 * i, 40 + 70 * i, 190 + 90 * i, 180 + 70 * i), colour)
    return image


def test_a_picture_that_will_grow_many_times_says_so_before_the_work_starts(tmp_path: Path) -> None:
    flat().save(tmp_path / "flat.png", optimize=True)
    sprite(10).save(tmp_path / "sprite.png", optimize=True)  # it stays on its grid, which packs as before
    done = CliRunner().invoke(protect_command, [str(tmp_path), "-o", str(tmp_path / "out"), *QUICK])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    told = next(i for i, line in enumerate(lines) if line.startswith("note: ") and "flat.png may grow up to" in line)
    finished = next(i for i, line in enumerate(lines) if line.startswith(f"{tmp_path / 'out/flat.png'}: "))
    assert told < finished
    assert any("the file grew from" in line and "a cloak is grain" in line for line in lines[finished:])
    assert not any("sprite.png may grow" in line for line in lines)
    times = (tmp_path / "out/flat.png").stat().st_size / (tmp_path / "flat.png").stat().st_size
    artwork = read((tmp_path / "flat.png").read_bytes())
    said = forecast(artwork, SETTINGS)
    assert said is not None
    assert times < float(said.split("up to ")[1].split()[0]) < 6 * times
    assert forecast(artwork, Settings(models=("mini",), budget=0.0)) is None
