"""``velatura lab purify`` from files to files, and ``velatura lab purify train``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

from velatura.cli.lab.purify import purify_command
from velatura.cli.lab.purify_train import train_command
from velatura.countermeasures import COUNTERMEASURES
from velatura.countermeasures.purifier import Network, Purifier
from velatura.errors import InputError
from velatura.images import save
from velatura.images.libvips import pyvips
from velatura.protection.panels import png

pytest.importorskip("cv2")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(purify_command, [str(a) for a in arguments])


@pytest.fixture
def art(tmp_path: Path, make_scene: Callable[..., Tensor]) -> Path:
    folder = tmp_path / "art"
    (folder / "inside").mkdir(parents=True)
    save(png(make_scene(40, 56, 1)), folder / "a.png")
    save(png(make_scene(48, 40, 2)), folder / "inside/b.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return folder


def test_a_folder_keeps_its_shape_and_a_bad_file_costs_a_line(art: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in art.rglob("*.png")}
    out = tmp_path / "out"
    done = run(art, "--with", "jpeg", "--set", "quality=30", "-o", out)
    assert done.exit_code == 1
    assert "broken.png" in done.stderr
    assert "2 changed by jpeg, 1 failed" in done.stderr
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png")) == ["a.png", "inside/b.png"]
    assert not np.array_equal(np.asarray(Image.open(out / "a.png")), np.asarray(Image.open(art / "a.png")))
    assert Image.open(out / "a.png").size == (56, 40)
    assert before == {path: path.read_bytes() for path in art.rglob("*.png")}
    ledger = json.loads((out / "purified.json").read_text())
    assert ledger["plan"]["quality"] == 30
    assert str(tmp_path) not in json.dumps(ledger), "no one learns where the art lay"


def test_again_skips_other_settings_are_refused_and_strange_files_are_safe(art: Path, tmp_path: Path) -> None:
    (art / "broken.png").unlink()
    out = tmp_path / "out"
    ask = (art, "--with", "noise", "-o", out)
    assert run(*ask).exit_code == 0
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert "2 done before" in run(*ask).stderr
    assert kept == {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (out / "a.png").unlink()
    assert "1 changed by noise, 1 done before" in run(*ask).stderr
    refused = run(*ask, "--seed", 4)
    assert isinstance(refused.exception, InputError)
    assert "another way" in str(refused.exception)
    (out / "a.png").write_bytes(b"mine")
    failed = run(*ask)
    assert failed.exit_code == 1
    assert "is not from here" in failed.stderr
    assert (out / "a.png").read_bytes() == b"mine"


@pytest.mark.skipif(sys.platform != "linux", reason="names there are text")
def test_a_name_that_is_no_text_stops_nothing(art: Path, tmp_path: Path) -> None:
    (art / "broken.png").unlink()
    os.rename(art / "a.png", os.fsencode(art) + b"/a\xff.png")
    for said in ("2 changed by jpeg:", "0 changed by jpeg, 2 done before"):
        done = run(art, "--with", "jpeg", "-o", tmp_path / "out")
        assert (done.exit_code, done.stderr.partition(": ")[0]) == (0, said.rstrip(":")), done.output
    assert sorted(json.loads((tmp_path / "out/purified.json").read_text())["files"]) == ["a\udcff.png", "inside/b.png"]


def test_two_pictures_of_one_name_are_both_kept(art: Path, tmp_path: Path, make_scene: Callable[..., Tensor]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save(png(make_scene(32, 32, 5)), other / "a.png")
    out = tmp_path / "out"
    assert run(art / "a.png", other / "a.png", "--with", "blur", "-o", out).exit_code == 0
    assert Image.open(out / "a.png").size == (56, 40)
    assert Image.open(out / "a-2.png").size == (32, 32)
    assert "1 done before" in run(other / "a.png", "--with", "blur", "-o", out).stderr


def test_nothing_is_ever_written_over_an_original(art: Path) -> None:
    before = (art / "a.png").read_bytes()
    failed = run(art / "a.png", "--with", "blur", "-o", art)
    assert failed.exit_code == 1
    assert (art / "a.png").read_bytes() == before


def test_depth_transparency_and_metadata_stay(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65535, (40, 48, 4), dtype=np.uint16)
    values[:10, :, 3] = 0
    image = pyvips.Image.new_from_array(values, interpretation="rgb16").copy()
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Artist", "Ada")
    image.pngsave(str(tmp_path / "deep.png"), bitdepth=16)
    assert run(tmp_path / "deep.png", "--with", "blur", "-o", tmp_path / "out").exit_code == 0
    after = pyvips.Image.new_from_file(str(tmp_path / "out/deep.png"))
    found = after.numpy()
    assert found.dtype == np.uint16
    assert np.array_equal(found[..., 3], values[..., 3])
    assert np.array_equal(found[:10], values[:10]), "what no one sees stays as it was"
    assert float(np.abs(found[12:, :, :3].astype(float) - values[12:, :, :3]).mean()) > 1000
    assert len(np.unique(found[..., :3] % 257)) > 100, "16 bits, not 8 written large"
    assert "Ada" in after.get("exif-ifd0-Artist")


def test_mimics_bring_pictures_to_their_resolution_first(art: Path, tmp_path: Path, tiny_model: Path) -> None:
    out = tmp_path / "out"
    (art / "broken.png").unlink()
    assert run(art, "--with", "vae", "--model", tiny_model, "-r", 32, "-o", out).exit_code == 0
    assert Image.open(out / "a.png").size == (45, 32)
    assert Image.open(out / "inside/b.png").size == (32, 38)


QUICK = {"upscale": ["steps=4", "strength=0.5"], "diffuse": ["steps=4", "strength=0.5"], "impress": ["steps=2"]}


@pytest.mark.parametrize("name", COUNTERMEASURES)
def test_every_one_of_them_with_a_stable_diffusion_folder(
    name: str, art: Path, tmp_path: Path, tiny_model: Path
) -> None:
    model, needs = tiny_model, COUNTERMEASURES[name].needs
    if needs == "purifier":
        model = tmp_path / "purifier.safetensors"
        save(Purifier(Network(), 40, {}).save(), model)
    changes = [word for change in QUICK.get(name, []) for word in ("--set", change)]
    done = run(art / "a.png", "--with", name, *changes, "--model", model, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "out/a.png") as after, Image.open(art / "a.png") as before:
        assert after.size == before.size
        same = np.array_equal(np.asarray(after.convert("RGB")), np.asarray(before.convert("RGB")))
        assert same == (needs == "purifier"), "an untrained purifier changes nothing, all others something"
    weights = json.loads((tmp_path / "out/purified.json").read_text())["plan"]["weights"]
    assert bool(weights) == (needs != "nothing")
    assert any(key.startswith("unet of") for key in weights) == needs.startswith("diffusion model")


def test_the_list_shows_every_setting_and_default() -> None:
    shown = run("--list").output
    for name, row in COUNTERMEASURES.items():
        assert f"{name}: {row.about}" in shown
        for field in row.settings.__dataclass_fields__.values():
            assert f"    {field.name}={field.default if field.default != '' else repr('')}  " in shown


def test_training_and_using_a_purifier(tmp_path: Path, make_scene: Callable[..., Tensor]) -> None:
    for i in range(3):
        for folder, picture in (("clean", make_scene(40, 44, i)), ("cloaked", 0.8 * make_scene(40, 44, i))):
            (tmp_path / folder).mkdir(exist_ok=True)
            save(png(picture), tmp_path / folder / f"{i}.png")
    save(png(torch.zeros(1, 3, 40, 80)), tmp_path / "cloaked/9.png")
    save(png(torch.zeros(1, 3, 40, 44)), tmp_path / "clean/9.png")
    file = tmp_path / "p.safetensors"
    ask = ["train", tmp_path / "cloaked", tmp_path / "clean", "-o", file, "--steps", 3, "--batch", 2, "--crop", 32,
           "--resolution", 40]  # fmt: skip
    done = run(*ask)
    assert done.exit_code == 0, done.output
    assert "3 pairs" in done.stderr
    assert "same proportions" in done.stderr
    assert "held-out pairs: PSNR" in done.stderr
    used = run(tmp_path / "cloaked/0.png", "--with", "learned", "--model", file, "-o", tmp_path / "out")
    assert used.exit_code == 0, used.output
    assert isinstance(run(*ask).exception, InputError)
    ask[2], ask[4] = tmp_path / "empty", tmp_path / "other.safetensors"
    ask[2].mkdir()
    assert "with namesakes" in str(run(*ask).exception)
    for option in train_command.params:
        assert not isinstance(option, click.Option) or option.help, option.name


@pytest.mark.parametrize(("arguments", "says"), [
    (["--with", "magic"], "expected one of noise"),
    (["--with", "jpeg", "--set", "quality"], "expected KEY=VALUE"),
    (["--with", "vae", "--model", "nothing-like-it"], "nothing-like-it"),
    (["--with", "learned"], "no purifier is shipped"),
])  # fmt: skip
def test_wrong_requests_are_one_line(arguments: list[str], says: str, art: Path, tmp_path: Path) -> None:
    failed = run(art, *arguments, "-o", tmp_path / "out")
    assert failed.exception is not None
    assert says in str(failed.exception)
    assert not (tmp_path / "out").exists()
