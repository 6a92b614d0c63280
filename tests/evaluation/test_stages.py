"""The one list of stages: its order, what is shared, and what counts as done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from velatura.evaluation import Arm, Experiment, Setup, mimics
from velatura.evaluation.judging import Jury
from velatura.evaluation.plan import parts, tasks
from velatura.evaluation.stages import KINDS, TEACHING, Stage, stages
from velatura.images import save
from velatura.protection.panels import png

pytest.importorskip("transformers")

SMALL: dict[str, Any] = {
    "changes": {"steps": 2, "batch": 2, "resolution": 64},
    "training": 4,
    "effort": "fast",
    "subjects": ("a cat", "a sea"),
    "each": 1,
    "sampling_steps": 2,
}


@pytest.fixture
def pairs(tmp_path: Path, make_scene: Callable[..., Tensor]) -> Path:
    for part in ("clean", "cloaked"):
        (tmp_path / "pairs" / part / "other").mkdir(parents=True)
        for i in range(20):
            save(png(make_scene(64, 64, 100 + i)), tmp_path / "pairs" / part / f"other/{i}.png")
    return tmp_path / "pairs"


def listed(setup: Setup) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages(setup, Jury(setup))}


def painted(setup: Setup, text: str, way: int) -> list[Path]:
    """As if the mimic had generated them."""
    paths = mimics.samples(setup, Arm.parse(text), setup.ways[way], 0)
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        path.touch()
    return paths


def test_every_stage_comes_after_its_inputs_and_parts_are_those_that_lie_in_folders(
    tiny_model: Path, art: list[Path], pairs: Path, tmp_path: Path
) -> None:
    texts = ("base", "real", "clean", "noise:0.1@0.5", "noise:0.1@0.5 dropping spectrum then blur denoised nlm")
    experiment = Experiment(
        art,
        "ada",
        [Arm.parse(text) for text in texts],
        model=str(tiny_model),
        pairs=pairs,
        recipes=("", "img2img", "robust3"),
        contents=art[:2],
        seeds=(0, 1),
        **SMALL,
    )
    setup = Setup(experiment, tmp_path / "out")
    whole = stages(setup, Jury(setup))
    names = [stage.name for stage in whole]
    assert len(set(names)) == len(names)
    for i, stage in enumerate(whole):
        assert set(stage.inputs) <= set(names[:i]), "inputs come first"
        assert stage.name == TEACHING or stage.name.startswith(tuple(f"{kind}: " for kind in KINDS))
    assert {name.partition(":")[0] for name in names} == {TEACHING, *KINDS}
    assert [task.what for task in tasks(setup)] == names
    apart = parts(setup)
    assert [part.what for part in apart[:-1]] == [
        name for name in names if not name.startswith(("judging", "teaching"))
    ]
    of = {part.what: {apart[number].what for number in part.after} for part in apart}
    last = listed(setup)[f"denoising: {experiment.arms[-1].key}, full, seed 1"]
    assert (
        of[last.name] == set(last.inputs) == {last.name.replace("denoising", "generating").replace("-denoised-nlm", "")}
    )
    assert apart[-1].what == "judging"
    assert apart[-1].after == tuple(range(len(apart) - 1))


def test_what_the_base_model_paints_for_several_ways_is_one_part(
    tiny_model: Path, art: list[Path], tmp_path: Path
) -> None:
    experiment = Experiment(art, "ada", [Arm("base")], model=str(tiny_model), recipes=("pez", "pez one"), **SMALL)
    setup = Setup(experiment, tmp_path / "out")
    first, second = (stage for name, stage in listed(setup).items() if name.startswith("generating"))
    assert first.folder == second.folder
    assert (first.inputs, second.inputs) == ((), (first.name,))
    assert [part.what for part in parts(setup)] == [first.name, "judging"]
    painted(setup, "base", 0)
    assert first.left == second.left == 0


def test_a_mimic_is_trained_only_while_pictures_by_it_are_missing(
    tiny_model: Path, art: list[Path], tmp_path: Path
) -> None:
    experiment = Experiment(
        art, "ada", [Arm("clean")], model=str(tiny_model), recipes=("", "img2img"), contents=art[:2], **SMALL
    )
    setup = Setup(experiment, tmp_path / "out")
    (training,) = (stage for name, stage in listed(setup).items() if name.startswith("fine-tuning"))
    assert training.left == 2
    paths = painted(setup, "clean", 0)
    assert training.left == 2, "img2img needs it, too"
    painted(setup, "clean", 1)
    assert training.left == 0
    training.run(lambda *_: pytest.fail("nothing is missing"))
    paths[1].unlink()
    assert training.left == 2
    assert training.folder is not None
    training.folder.mkdir(parents=True)
    assert training.left == 0


def test_a_robust_base_is_made_for_whoever_needs_it(
    tiny_model: Path, art: list[Path], pairs: Path, tmp_path: Path
) -> None:
    arms = [Arm("base"), Arm("clean")]
    experiment = Experiment(art, "ada", arms, model=str(tiny_model), pairs=pairs, recipes=("robust3",), **SMALL)
    setup = Setup(experiment, tmp_path / "out")
    base = listed(setup)["hardening: robust 3"]
    assert base.left == 6
    for_base = painted(setup, "base", 0)
    assert base.left == 6, "the other arm's mimic begins from it"
    painted(setup, "clean", 0)
    assert base.left == 0
    shutil.rmtree(for_base[0].parent)
    assert base.left == 6
