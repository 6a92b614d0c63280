"""``velatura lab mimic`` from folder to folder, on Stable Diffusion's own layout (tiny, random weights)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from velatura.cli.files import pictures
from velatura.cli.lab.mimic import mimic_group
from velatura.errors import InputError, WeightsError
from velatura.images import save
from velatura.protection.panels import png

pytest.importorskip("transformers")
QUICK = ["--steps", "2", "--batch", "2", "--resolution", "32"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(mimic_group, [str(a) for a in arguments])


@pytest.fixture
def art(tmp_path: Path, make_scene) -> Path:
    folder = tmp_path / "ada-lovelace"
    folder.mkdir()
    for i, name in enumerate(("a cat.png", "red_tree.png")):
        save(png(make_scene(40, 48, i)), folder / name)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.mark.parametrize("method", ["full", "lora", "dreambooth", "textual-inversion", "pez"])
def test_from_pictures_to_pictures(tiny_model: Path, art: Path, tmp_path: Path, method: str) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    trained = run("train", art, "-o", model, "--model", tiny_model, "--method", method, *QUICK)
    assert trained.exit_code == 0, trained.output
    assert "left out" in trained.output
    assert "broken.png" in trained.output
    card = json.loads((model / "mimic.json").read_text())
    assert card["artist"] == "ada lovelace"
    assert len(card["captions"]) == 2
    made = run("generate", model, "-o", out, "-n", 1, "--steps", 2, "--resolution", 32)
    assert made.exit_code == 0, made.output
    assert len(list(out.glob("0*.png"))) == 24
    assert (out / "sheet.png").exists()
    assert pictures([out]) == sorted(out.glob("0*.png"))  # a judge, or a rater, is not shown the sheet
    plan = json.loads((out / "generated.json").read_text())
    word = {"textual-inversion": "<ada-lovelace>", "pez": card.get("words")}.get(method, "ada lovelace")
    assert plan["prompts"][0] == f"a portrait of a woman, by {word}"


def test_generating_continues_and_is_not_mixed(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("# mine\na cat\n\na sea by Ada\n")
    ask = ["generate", tiny_model, "-o", tmp_path / "out", "--prompts", tmp_path / "prompts.txt", "-n", 2,
           "--steps", 2, "--resolution", 32, "--artist", "ada"]  # fmt: skip
    assert run(*ask).exit_code == 0
    plan = json.loads((tmp_path / "out/generated.json").read_text())
    assert plan["prompts"] == ["a cat, by ada"] * 2 + ["a sea by Ada"] * 2
    kept = (tmp_path / "out/0000.png").stat().st_mtime_ns
    wanted = (tmp_path / "out/0003.png").read_bytes()
    (tmp_path / "out/0003.png").unlink()
    assert run(*ask).exit_code == 0
    assert (tmp_path / "out/0000.png").stat().st_mtime_ns == kept
    assert Image.open(tmp_path / "out/0003.png").size == (32, 32)
    assert len(wanted) > 100
    other = run(*ask, "--seed", 5)
    assert isinstance(other.exception, InputError)
    assert "other settings" in str(other.exception)
    odd = run(*ask[:-2], "-o", tmp_path / "odd", "--resolution", 33)
    assert isinstance(odd.exception, InputError)
    assert "expected a multiple of" in str(odd.exception)


@pytest.mark.parametrize("taken", ["0001.png", "sheet.png", "generated.json"])
def test_numbered_pictures_of_ones_own_are_not_overwritten(
    tiny_model: Path, art: Path, tmp_path: Path, taken: str
) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / taken).write_bytes(b"mine")
    for ask in (["generate", tiny_model], ["img2img", tiny_model, art]):
        refused = run(*ask, "-o", tmp_path / "scans", "--steps", 2, "--resolution", 32)
        assert isinstance(refused.exception, InputError), refused.output
        assert str(refused.exception).startswith(str(tmp_path / "scans" / taken))
    assert [p.read_bytes() for p in (tmp_path / "scans").iterdir()] == [b"mine"]


def test_pictures_of_a_model_that_was_trained_anew_are_not_taken_for_its_own(
    tiny_model: Path, art: Path, tmp_path: Path
) -> None:
    model, steps = tmp_path / "model", ["--model", tiny_model, "--method", "lora", *QUICK]
    ask = ["generate", model, "-o", tmp_path / "out", "-n", 1, "--steps", 1, "--resolution", 32]
    assert run("train", art, "-o", model, *steps).exit_code == 0
    assert run(*ask).exit_code == 0
    shutil.rmtree(model)
    assert run("train", art, "-o", model, *steps, "--seed", 7).exit_code == 0
    again = run(*ask)
    assert isinstance(again.exception, InputError)
    assert "other settings" in str(again.exception)


def test_img2img_keeps_the_size(tiny_model: Path, art: Path, tmp_path: Path) -> None:
    done = run("img2img", tiny_model, art, "-o", tmp_path / "out", "--steps", 4, "--resolution", 32, "--artist", "ada")
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "out/0001.png").size == (40, 32)
    assert json.loads((tmp_path / "out/generated.json").read_text())["prompts"] == ["a picture, by ada"] * 2


def test_what_is_wrong_is_one_line(tiny_model: Path, art: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.txt").write_text("# nothing\n")
    cases = [
        (["train", tmp_path / "empty", "-o", tmp_path / "m", "--model", tiny_model], InputError, "none that can be"),
        (["train", art, "-o", art, "--model", tiny_model], InputError, "exists already"),
        (["train", art, "-o", tmp_path / "m", "--model", tiny_model, "--lr", "7"], InputError, "learning rate"),
        (["train", art, "-o", tmp_path / "m", "--model", "sd15"], WeightsError, "velatura models pull sd15 --whole"),
        (["train", art, "-o", tmp_path / "m", "--model", "taesd"], WeightsError, "text-to-image model"),
        (["generate", tmp_path / "empty", "-o", tmp_path / "o"], WeightsError, "model_index.json"),
        (
            ["generate", tiny_model, "-o", tmp_path / "o", "--prompts", tmp_path / "none.txt"],
            InputError,
            "expected a prompt a line",
        ),
    ]
    for arguments, kind, said in cases:
        failed = run(*arguments)
        assert isinstance(failed.exception, kind), (arguments, failed.output)
        assert said in str(failed.exception)
