"""A plan's parts in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from velatura.errors import VelaturaError
from velatura.evaluation import Arm, Protocol, Setup, side_by_side
from velatura.evaluation.schedule import tasks
from velatura.images import save
from velatura.protect.protector import png

pytest.importorskip("transformers")

GIVEN = ("teaching", "judging")  # which the last part does


def test_what_fails_stops_only_what_needs_it_and_the_rest_is_found_done(
    tiny_model: Path, tmp_path: Path, make_scene: Callable[..., Tensor]
) -> None:
    art = [tmp_path / f"{i:02}.png" for i in range(12)]
    for i, path in enumerate(art):
        save(png(make_scene(128, 136, 20 + i)), path)
    about: dict[str, Any] = {
        "model": str(tiny_model), "changes": {"steps": 2, "batch": 2, "resolution": 64}, "training": 4,
        "effort": "fast", "subjects": ("a cat",), "each": 1, "sampling_steps": 2,
    }  # fmt: skip
    arms = [Arm.parse(text) for text in ("clean", "noise:0.05", "noise:0.1")]
    setup = Setup(Protocol(art, "ada", arms, **about), tmp_path / "out")
    in_the_way = setup.protected(arms[1])
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_bytes(b"")
    done: list[str] = []
    with pytest.raises(VelaturaError, match=f"^protecting: noise-0.05: [^;]*{in_the_way.name}[^;]*$"):
        side_by_side.do_parts(setup, 2, lambda what, share, total: done.append(what))
    assert {what.partition(",")[0] for what in done} == {
        "fine-tuning: clean", "generating: clean", "protecting: noise-0.1", "fine-tuning: noise-0.1",
        "generating: noise-0.1",
    }  # fmt: skip

    in_the_way.unlink()
    left = {task.what.partition(",")[0] for task in tasks(setup) if task.left and not task.kind.startswith(GIVEN)}
    assert left == {"protecting: noise-0.05", "fine-tuning: noise-0.05", "generating: noise-0.05"}
