"""A plan's parts in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from torch import Tensor

from velatura.cli.lab.evaluate import evaluate_command
from velatura.errors import InputError, VelaturaError
from velatura.evaluation import Arm, Experiment, Setup, side_by_side
from velatura.evaluation.plan import tasks
from velatura.images import save
from velatura.protection.panels import png

pytest.importorskip("transformers")

GIVEN = ("teaching", "judging")  # which the last part does


def test_what_fails_stops_only_what_needs_it_and_nothing_is_done_twice(
    tiny_model: Path, tmp_path: Path, make_scene: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    art = [tmp_path / f"{i:02}.png" for i in range(12)]
    for i, path in enumerate(art):
        save(png(make_scene(128, 136, 20 + i)), path)
    (tmp_path / "theirs").mkdir()
    for path in art:
        (tmp_path / "theirs" / path.name).write_bytes(b"no picture")
    about: dict[str, Any] = {
        "model": str(tiny_model),
        "changes": {"steps": 2, "batch": 2, "resolution": 64},
        "training": 4,
        "effort": "fast",
        "subjects": ("a cat",),
        "each": 1,
        "sampling_steps": 2,
    }
    arms = [Arm.parse(text) for text in ("clean", f"theirs={tmp_path / 'theirs'}", "base")]
    setup = Setup(Experiment(art, "ada", arms, **about), tmp_path / "out")
    begun: list[str] = []
    done: list[str] = []
    with pytest.raises(VelaturaError, match=r"^protecting: theirs: .*\.png: is not a picture") as wrong:
        side_by_side.do_parts(setup, 2, lambda what, share, total: (done if share else begun).append(what))
    assert "generating: theirs" not in str(wrong.value), "what needs it was not even tried"
    assert begun == ["6 parts, 2 at a time"]
    plain = {"fine-tuning: clean", "generating: clean", "generating: base"}
    assert {what.partition(",")[0] for what in done} == plain

    left = {task.what.partition(",")[0] for task in tasks(setup) if task.left and not task.kind.startswith(GIVEN)}
    assert left == {"protecting: theirs", "fine-tuning: theirs", "generating: theirs"}
    there = Setup(Experiment(art, "ada", [arms[0], arms[2]], **about), tmp_path / "out")
    monkeypatch.setattr(side_by_side, "ProcessPoolExecutor", None)
    side_by_side.do_parts(there, 2, lambda what, share, total: done.append(what))


def test_what_the_workers_do_is_not_spread_here(tmp_path: Path) -> None:
    words = [str(tmp_path), "-o", str(tmp_path / "out"), "--background", "--processes", "2"]
    wrong = CliRunner().invoke(evaluate_command, words).exception
    assert isinstance(wrong, InputError)
    assert "expected no --processes" in str(wrong)
