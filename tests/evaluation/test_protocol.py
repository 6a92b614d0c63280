"""The whole experiment, on Stable Diffusion's layout with a handful of random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from torch import Tensor

from velatura.cli.evaluate import evaluate_command
from velatura.errors import InputError
from velatura.evaluation import Arm, Protocol, run
from velatura.evaluation.protocol import split
from velatura.images import save
from velatura.protect.protector import png

pytest.importorskip("transformers")
pytest.importorskip("sklearn")


@pytest.fixture
def art(tmp_path: Path, make_scene: Callable[..., Tensor]) -> list[Path]:
    folder = tmp_path / "ada-lovelace"
    folder.mkdir()
    paths = [folder / f"{i:02}.png" for i in range(13)]
    for i, path in enumerate(paths):
        save(png(make_scene(128, 136, 20 + i)), path)
    return paths


def test_pictures_that_repeat_each_other_are_not_on_both_sides(art: list[Path], tmp_path: Path) -> None:
    training, rest = split(art, 4)
    assert len(training) == 4
    assert len(rest) == 9
    assert not set(training) & set(rest)
    again = art[0].parent / "again.png"
    save(training[0].read_bytes(), again)
    twins, others = split([*art, again], 4)
    names = {path.name for path in twins} & {training[0].name, "again.png"}
    if names:  # one of the two trains the mimic: the other must not teach the judge
        assert not {path.name for path in others} & {training[0].name, "again.png"}
    with pytest.raises(InputError, match="others for the judge, got"):
        split(art[:9], 4)


def test_from_pictures_to_rows_and_again(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    arms = [Arm.parse(text) for text in ("base", "real", "clean", "noise:0.1", "velatura:0.1")]
    protocol = Protocol(
        art, "ada", arms, model=str(tiny_model), changes={"steps": 2, "batch": 2, "resolution": 64},
        training=4, effort="fast", subjects=("a cat", "a sea"), each=1, sampling_steps=2,
    )  # fmt: skip
    said: list[str] = []
    result = run(protocol, tmp_path / "out", lambda what, done, total: said.append(what))
    found = {(row.arm, row.metric) for row in result.rows}
    for arm in ("base", "real", "clean", "noise", "cloaked"):
        assert (arm, "style_top1") in found
    assert ("cloaked", "gain_over_noise_top3") in found
    assert ("cloaked", "decoded_shift") in found
    assert any("too weak on clean art" in flag for flag in result.flags)
    tree = json.loads((tmp_path / "out/result.json").read_text())
    assert {"experiment", "command", "version", "seed", "device", "settings", "weights", "rows", "flags"} <= set(tree)
    assert any(what.startswith("fine-tuning: velatura-0.1") for what in said)
    said.clear()
    again = run(protocol, tmp_path / "out", lambda what, done, total: said.append(what))
    assert not [what for what in said if what.startswith(("fine-tuning", "protecting", "generating"))]
    assert again.rows == result.rows


def test_pictures_protected_elsewhere_are_an_arm(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    done = CliRunner().invoke(
        evaluate_command,
        [str(art[0].parent), "-o", str(tmp_path / "out"), "--arm", f"other={tmp_path / 'none'}", "--arm", "clean",
         "--model", str(tiny_model), "--train-steps", "1", "--training", "4", "-n", "1"],
    )  # fmt: skip
    assert isinstance(done.exception, InputError)
    assert "expected a protected" in str(done.exception)
