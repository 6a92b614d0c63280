"""``velatura inspect`` and ``compare``, and what ``protect`` says of a file on its way to a platform."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from velatura.cli.compare import compare_command
from velatura.cli.inspect import inspect_command
from velatura.cli.protect import protect_command
from velatura.errors import ImageError, InputError
from velatura.images import read
from velatura.protection.panels import png
from velatura.protection.publishing import notes

QUICK = ["-m", "mini", "--effort", "fast", "--resolution", "128"]


def run(command: click.Command, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def printed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def published(tmp_path_factory, make_scene) -> Path:
    """A picture, too wide for Instagram, and what was delivered for it."""
    folder = tmp_path_factory.mktemp("published")
    Image.open(io.BytesIO(png(make_scene(900, 1400, 1)))).save(folder / "sea.jpg", quality=60, dpi=(300, 300))
    wishes = ["--deliver", "instagram", "--do-not-train", "--rights", "© Ada"]
    done = run(protect_command, folder / "sea.jpg", "-o", folder / "out", *QUICK, *wishes)
    assert done.exit_code == 0, done.output
    (folder / "said").write_text(done.output)
    return folder


def test_a_delivered_picture_is_small_first_and_the_assumed_rest_is_said(published: Path) -> None:
    report = json.loads((published / "out/sea.report.json").read_text())
    with Image.open(published / "out/sea.jpg") as made:
        assert made.size == (1080, 694)
    platform = report["platform"]
    assert (platform["name"], platform["quality"], platform["assumed_quality"]) == ("instagram", 70, 70)
    assert 0.1 < platform["delta_left"] < 1
    remaining = platform["latent_remaining"]["mini"]
    assert remaining["file"] < remaining["published"]
    said = (published / "said").read_text()
    assert "made smaller, from 1400x900 to 1080x694" in said
    assert "instagram is assumed to make a JPEG of quality 70 of it" in said
    assert f"{platform['delta_left']:.0%} of the cloak would be left" in said


def test_inspect_says_what_is_in_a_file_and_whether_a_report_is_of_it(published: Path, tmp_path: Path) -> None:
    source, made = (printed(run(inspect_command, published / p, "--json")) for p in ("sea.jpg", "out/sea.jpg"))
    assert (source["format"], source["width"], source["quality"], source["report"]) == ("jpeg", 1400, 60, None)
    assert made["report"]["matches"] is True
    assert made["metadata"]["data mining"].endswith("PROHIBITED-GENAIMLTRAINING")
    assert made["metadata"]["rights"] == "© Ada"
    for name in ("sea.jpg", "sea.report.json"):
        (tmp_path / name).write_bytes((published / "out" / name).read_bytes())
    Image.open(published / "out/sea.jpg").save(tmp_path / "sea.jpg", quality=80)
    assert printed(run(inspect_command, tmp_path / "sea.jpg", "--json"))["report"]["matches"] is False
    (tmp_path / "no.png").write_bytes(b"")
    both = run(inspect_command, tmp_path / "no.png", published / "out/sea.jpg")
    assert both.exit_code == 1
    assert [line for line in both.stderr.splitlines() if "no.png: is empty" in line]
    assert "is of this very file: " in both.stdout
    assert "of the way, noise that is as visible" in both.stdout
    assert made["report"]["families"]["mini"]["seen_by"] == "mini"
    assert both.stdout.splitlines()[-1].strip() == made["report"]["unknown"] != "", "the last line, and once"
    assert both.stdout.count("not known") == 1


def test_inspect_shows_what_the_model_sees(published: Path, tmp_path: Path) -> None:
    view = tmp_path / "view.png"
    done = run(inspect_command, published / "out/sea.jpg", "--view", view, "-m", "mini")
    assert done.exit_code == 0, done.output
    seen = np.asarray(Image.open(view), float)
    shown = np.asarray(Image.open(published / "sea.jpg").resize(seen.shape[1::-1]), float)
    assert seen.std() > 10
    assert 3 < np.abs(seen - shown).mean() < 60  # the picture, by an autoencoder
    with pytest.raises(InputError, match="--view: expected one file"):
        raise_(run(inspect_command, view, view, "--view", tmp_path / "v.png"))
    before = view.read_bytes()
    with pytest.raises(InputError, match="exists already"):  # a shell's --view *.png names a picture
        raise_(run(inspect_command, published / "sea.jpg", "--view", view, "-m", "mini"))
    assert view.read_bytes() == before


def raise_(result: Result) -> None:
    assert result.exception is not None
    raise result.exception


def test_compare_tells_how_much_of_a_cloak_came_back(published: Path, tmp_path: Path) -> None:
    """What a platform made of it: nearly all, some after a small JPEG, none where it is the original again."""
    original, protected = published / "sea.jpg", published / "out/sea.jpg"
    left = {}
    for name, file, quality in (("same", protected, 98), ("small", protected, 40), ("original", original, 98)):
        path = tmp_path / f"{name}.jpg"
        Image.open(file).resize((1080, 694) if name != "small" else (540, 347)).save(path, quality=quality)
        found = printed(run(compare_command, original, protected, path, "-r", "128", "-m", "mini", "--json"))
        assert found["other"]["lpips"] > 0.01
        left[name] = found["left"]
    for eye in ("pixels", "mini"):
        assert left["same"][eye] > 0.9
        assert abs(left["original"][eye]) < 0.15
    assert left["small"]["mini"] < left["same"]["mini"]
    words = run(compare_command, original, protected, tmp_path / "same.jpg", "-r", "128")
    assert "  a viewer " in words.stdout
    assert "left of the cloak, in pixels: " in words.stdout


def test_compare_refuses_what_cannot_be_compared(published: Path, tmp_path: Path) -> None:
    original, protected = published / "sea.jpg", published / "out/sea.jpg"
    Image.open(protected).crop((0, 0, 700, 694)).save(tmp_path / "cut.jpg")
    Image.new("RGB", (20000, 1)).save(tmp_path / "strip.png")
    for arguments, error, said in (
        ([original, protected, tmp_path / "cut.jpg"], ImageError, "was it cut"),
        ([original, original, protected], InputError, "expected a picture that differs"),
        ([original, protected, "-m", "mini"], InputError, "expected with three files"),
        ([original, tmp_path / "none.jpg"], ImageError, "does not exist"),
        ([tmp_path / "strip.png"] * 2, ImageError, "more than 50 times as long as wide"),
    ):
        with pytest.raises(error, match=said):
            raise_(run(compare_command, *arguments, "-r", "128"))


def test_what_a_lossy_file_costs_is_said(published: Path, tmp_path: Path) -> None:
    """That it grew; and that it does not hold the cloak, never another format unasked."""
    report = json.loads((published / "out/sea.report.json").read_text())
    assert 0.5 < report["figures"]["delta_kept"] < 1.1
    jpeg = read(published / "sea.jpg")
    crops = {"lpips_crops": None, "lpips_native_crops": None}
    figures = {"bytes_before": 10_000, "bytes_after": 16_000, "delta_kept": 0.55, **crops}
    assert notes(jpeg, figures, None) == [
        "the file grew from 10 to 16 kB; a lower quality makes it smaller, at the cloak's expense",
        "as jpeg the file keeps 55% of the cloak: PNG keeps it all",
    ]
    Image.open(published / "sea.jpg").resize((60, 40)).save(tmp_path / "a.png")
    assert notes(read(tmp_path / "a.png"), figures, None) == ["the file grew from 10 to 16 kB"]
    assert notes(jpeg, figures | {"bytes_after": 14_000, "delta_kept": 0.9}, None) == []


def test_one_page_of_several(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 60, 3), np.uint8)) for i in range(3)]
    pages[0].save(tmp_path / "book.tif", save_all=True, append_images=pages[1:])
    whole = run(protect_command, tmp_path / "book.tif", "-o", tmp_path / "out", *QUICK)
    assert whole.exit_code == 1
    assert "holds 3 pages; choose one with --page N" in whole.output
    for page in (2, 3):
        done = run(
            protect_command, tmp_path / "book.tif", "-o", tmp_path / "out", *QUICK, "-i", "0", "--page", str(page)
        )
        assert done.exit_code == 0, done.output
        made = Image.open(tmp_path / f"out/book-page{page}.tif")
        assert np.array_equal(np.asarray(made), np.asarray(pages[page - 1]))
        asked = (tmp_path / "book.tif", tmp_path / f"out/book-page{page}.tif", "--page", str(page), "--json")
        assert printed(run(compare_command, *asked, "-r", "64"))["other"]["linf_255"] == 0
    both = run(compare_command, *[tmp_path / "book.tif"] * 2, "--page", "3", "-r", "64", "--json")
    assert printed(both)["other"]["linf_255"] == 0
    with pytest.raises(ImageError, match="holds 3 pages; choose one with --page N"):
        raise_(run(compare_command, *[tmp_path / "book.tif"] * 2))
    with pytest.raises(ImageError, match="holds 3 pages; save each as a picture of its own"):  # as for purify
        read(tmp_path / "book.tif")
    pages[0].save(tmp_path / "sheet.png")
    for name, page, said in (("book.tif", "4", "has no page 4, but 3"), ("sheet.png", "2", "has no page 2, but 1")):
        beyond = run(inspect_command, tmp_path / name, "--page", page)
        assert beyond.exit_code == 1
        assert f"{name}: {said}; choose another with --page" in beyond.stderr
