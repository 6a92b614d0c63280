"""Plug-ins: what the docs show works, what is installed has a name, and what is wrong with one is a line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from velatura import plugins
from velatura.cli.lab.evaluate import evaluate_command
from velatura.cli.lab.purify import purify_command
from velatura.countermeasures import plugged as countermeasures
from velatura.countermeasures.treatment import prepare
from velatura.diffusion import extractors
from velatura.errors import InputError
from velatura.evaluation import Arm, Experiment, Setup, plugged, robustness, run
from velatura.evaluation.checks import _check_judges
from velatura.evaluation.protecting import protect
from velatura.evaluation.robustness import Robustness
from velatura.images import read, save, working
from velatura.protection import Protector, Settings
from velatura.protection.panels import png
from velatura.reports import tables

PAGE = Path(__file__).parents[2] / "docs/your-own-cloak.md"
MAKE = "def make(pictures, targets, extractors, budget, seed):\n"
SMALL = Settings(models=("mini",), effort="fast", resolutions=(64,), style="Aubrey Beardsley")


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that one is in, and nothing known of earlier plug-ins."""
    caches = (plugins.find, plugins._points, plugged._plugged, countermeasures._plugged)
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    for one in caches:
        one.cache_clear()
    yield tmp_path
    for one in caches:
        one.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith(("mine", "swirls", "broken")):
            del sys.modules[name]


@pytest.fixture
def mine(fresh: Path) -> Path:
    """The examples of the page, as the file that it says they are saved as."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (fresh / "mine.py").write_text("\n\n".join(blocks), encoding="utf-8")
    return fresh


@pytest.fixture
def swirls(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with an entry point in each group."""
    (fresh / "site/swirls").mkdir(parents=True)
    (fresh / "site/swirls/__init__.py").write_text(
        f"{MAKE}    return [0.01 * (t - x) for x, t in zip(pictures, targets)]\n"
        "def treat(pictures):\n    'Upside down.'\n    return pictures.flip(-2)\n"
        "def score(pictures, real):\n    return [1.0 for _ in pictures]\n"
    )
    about = fresh / "site/swirls-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: swirls\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[velatura.cloaks]\nswirl = swirls:make\nlost = swirls.nowhere:make\n"
        "[velatura.countermeasures]\nover = swirls:treat\ngone = swirls.nowhere:treat\n"
        "[velatura.judges]\nones = swirls:score\n"
    )
    monkeypatch.syspath_prepend(str(fresh / "site"))
    return fresh / "site/swirls/__init__.py"


def test_the_cloak_of_the_page_is_brought_to_the_budget_and_beats_noise(
    mine: Path, make_scene: Callable[..., Tensor]
) -> None:
    pictures = [make_scene(64, 72, seed) for seed in range(2)]
    left = {}
    for text in ("mine:make:0.1", "noise:0.1"):
        made = protect(Arm.parse(text), Protector(SMALL), pictures, 0)
        assert [working(read(file), 64).shape for file in made.files] == [x.shape for x in pictures]
        assert all(0.08 < f["lpips"] <= 0.1 + 1e-6 for f in made.figures), made.figures
        left[text] = max(f["latent_remaining"] for f in made.figures)
    assert left["mine:make:0.1"] < left["noise:0.1"] - 0.1


def test_the_example_is_short() -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert code is not None
    assert len([line for line in code[1].splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize("place", ["mine:make", "mine.py:make", "folder/mine.py:make", "./mine.py:make"])
def test_an_arm_may_be_a_function_in_a_file(mine: Path, place: str) -> None:
    (mine / "folder").mkdir()
    (mine / "folder/mine.py").write_text((mine / "mine.py").read_text())
    arm = Arm.parse(f"{place}:0.1@0.5 then jpeg quality=50")
    assert (arm.method, arm.budget, arm.share, arm.kind) == (place, 0.1, 0.5, "cloaked")
    assert arm.label == f"{place}@0.5"
    assert re.fullmatch(r"\w[\w.@=-]*", arm.key), "it is part of names of folders"
    with pytest.raises(InputError, match="no effort to choose"):
        Arm.parse(f"{place}:0.1 at fast")


def test_installed_plug_ins_have_names_and_are_listed(swirls: Path) -> None:
    assert Arm.parse("swirl:0.1").row is not None
    assert torch.equal(prepare("over")(x := torch.rand(1, 3, 8, 8)), x.flip(-2))
    assert plugged.scores(plugged.judge_of("ones"), [x], [x]) == [1.0]
    done = CliRunner().invoke(evaluate_command, ["--plans"])
    for line in ("cloak swirl (swirls:make)", "countermeasure over (swirls:treat)", "judge ones (swirls:score)"):
        assert line in done.output
    with pytest.raises(InputError, match=r"expected one of base, .*, velatura, lost, swirl, "):
        Arm.parse("magic:0.1")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "import nothing_of_this_name",
            r"^cloak broken:make: cannot be imported: ModuleNotFoundError: No module named",
        ),
        ("def make(:", r"^cloak broken:make: cannot be imported: SyntaxError: "),
        ("other = 1", r"^cloak broken:make: expected make in broken, found none"),
        ("make = 3", r"^cloak broken:make: expected a function, got int"),
    ],
)
def test_what_cannot_be_imported_is_one_line_that_names_it(fresh: Path, code: str, says: str) -> None:
    (fresh / "broken.py").write_text(code)
    with pytest.raises(InputError, match=says) as wrong:
        Arm.parse("broken:make:0.1")
    assert "\n" not in str(wrong.value)


def test_an_entry_point_that_leads_nowhere_is_named_with_its_place(swirls: Path) -> None:
    with pytest.raises(InputError, match=r"^cloak lost \(swirls\.nowhere:make\): cannot be imported: ModuleNotFound"):
        Arm.parse("lost:0.1")


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("None", "expected a list of 2 deltas, got NoneType"),
        ("pictures[:1]", "expected a list of 2 deltas, got 1"),
        ("[pictures[0], pictures[1][..., 1:]]", r"delta 1: expected shape \(1, 3, 64, 72\), got \(1, 3, 64, 71\)"),
        ("[0, 0]", "delta 0: expected shape .*, got int"),
        ("[x / 0 * 0 for x in pictures]", "delta 0: expected finite numbers"),
    ],
)
def test_wrong_deltas_are_one_line_that_names_the_cloak(
    fresh: Path, make_scene: Callable[..., Tensor], returned: str, says: str
) -> None:
    (fresh / "broken.py").write_text(f"{MAKE}    return {returned}\n")
    pictures = [make_scene(64, 72, seed) for seed in range(2)]
    with pytest.raises(InputError, match=f"^cloak broken:make: {says}") as wrong:
        protect(Arm.parse("broken:make:0.1"), Protector(SMALL), pictures, 0)
    assert "\n" not in str(wrong.value)


def test_a_cloak_that_works_in_place_changes_no_picture(fresh: Path, make_scene: Callable[..., Tensor]) -> None:
    (fresh / "broken.py").write_text(f"{MAKE}    return [x.sub_(t).neg_() for x, t in zip(pictures, targets)]\n")
    made = protect(Arm.parse("broken:make:0.1"), Protector(SMALL), [x := make_scene(64, 72)], 0)
    assert 0.08 < made.figures[0]["lpips"] <= 0.1 + 1e-6
    assert float((working(read(made.files[0]), 64) - x).abs().mean()) < 0.1, "the picture is still to be seen"


def test_wrong_countermeasures_and_judges_are_named(mine: Path) -> None:
    (mine / "broken.py").write_text(
        "def cut(pictures):\n    return pictures[..., 1:]\n"
        "def loud(pictures):\n    return 9 * pictures + 1\n"
        "def few(pictures, real):\n    return [1.0]\n"
    )
    x = torch.rand(1, 3, 8, 8)
    for name, says in (
        ("cut", r"expected pictures of shape \(1, 3, 8, 8\), got"),
        ("loud", r"expected values in \[0, 1\]"),
    ):
        with pytest.raises(InputError, match=f"^countermeasure broken:{name}: .*{says}"):
            prepare(f"broken:{name}")(x)
    with pytest.raises(InputError, match=r"^judge broken:few: expected 2 numbers, one per picture, got 1"):
        plugged.scores(plugged.judge_of("broken:few"), [x, x], [x])
    with pytest.raises(InputError, match=r"^judge 'magic': expected MODULE:FUNCTION$"):
        plugged.judge_of("magic")
    with pytest.raises(InputError, match="expected another name for each judge, got few twice"):
        _check_judges(["broken:few", "broken.py:few"])
    assert float(prepare("mine:treat")(x).unique().numel()) <= 8
    assert plugged.scores(plugged.judge_of("mine:brightness"), [x, 0 * x], [x]) == [0.0, -float(x.mean())]


def test_one_that_does_not_work_costs_a_line_where_all_are_asked_for(swirls: Path) -> None:
    done = CliRunner().invoke(purify_command, ["--list"])
    assert done.exit_code == 0
    assert "over: Upside down.\n" in done.stdout
    assert done.stderr.startswith("countermeasure gone (swirls.nowhere:treat): cannot be imported: ")
    treatments, flags = robustness._treatments(Robustness([], "ada"))
    assert "over" in [treatment.name for treatment in treatments]
    assert any(flag.startswith("gone: not measured: countermeasure gone (swirls.nowhere:treat)") for flag in flags)
    with pytest.raises(InputError, match=r"^countermeasure gone \(swirls"):
        Robustness([], "ada", countermeasures=("gone",))


def test_the_fast_table_takes_a_cloak_and_names_its_source(mine: Path) -> None:
    found = robustness._weights(Robustness([], "ada", method="mine:make"), extractors.load("mini"), [], False)
    assert found["cloak mine:make"] == plugins.find(plugins.CLOAKS, "mine:make").sha256
    with pytest.raises(InputError, match=r"^cloak 'magic': expected one of .*, or MODULE:FUNCTION"):
        Robustness([], "ada", method="magic")


QUICK: dict[str, Any] = {
    "changes": {"steps": 2, "batch": 2, "resolution": 64},
    "training": 4,
    "effort": "fast",
    "subjects": ("a cat",),
    "each": 2,
    "sampling_steps": 2,
}


@pytest.fixture
def art(mine: Path, make_scene: Callable[..., Tensor]) -> list[Path]:
    (mine / "ada").mkdir()
    paths = [mine / f"ada/{i:02}.png" for i in range(13)]
    for i, path in enumerate(paths):
        save(png(make_scene(128, 136, 20 + i)), path)
    return paths


def test_a_whole_experiment_with_plug_ins_of_all_kinds(mine: Path, art: list[Path], tiny_model: Path) -> None:
    pytest.importorskip("sklearn")
    arms = [Arm.parse(text) for text in ("clean", "noise:0.1", "mine:make:0.1", "mine:make:0.1 then mine:treat")]
    experiment = Experiment(art, "ada", arms, model=str(tiny_model), judges=("mine:brightness",), **QUICK)
    result = run(experiment, mine / "out")
    rows: dict[Any, Any] = {(r.arm, r.cloak, r.countermeasure, r.metric): r for r in result.rows}
    assert 0.08 < rows["cloaked", "mine:make", None, "lpips"].value <= 0.1
    assert ("cloaked", "mine:make", None, "gain_over_noise_top3") in rows
    for arm, cloak, after in (("clean", None, None), *(("cloaked", "mine:make", by) for by in (None, "mine:treat"))):
        judged = rows[arm, cloak, after, "judge_brightness"]
        assert judged.n == 2
        assert judged.low <= judged.value <= judged.high
    assert "brightness" in tables.markdown(tables.cells(result.rows)).splitlines()[2]
    made = result.settings["methods"]["mine:make"]
    assert made["function"] == "mine:make"
    assert result.settings["judges"] == {"mine:brightness": made["sha256"]}
    assert result.weights["countermeasure mine:treat"] == made["sha256"]
    every = ("cloak mine:make", "countermeasure mine:treat", "judge mine:brightness")
    assert Setup(experiment, mine / "out").plugins == dict.fromkeys(every, made["sha256"])
    usual = Setup(replace(experiment, judges=()), mine / "out")
    asked = Setup(experiment, mine / "out")
    places = [setup.folders.samples(arms[0], setup.ways[0], 0) for setup in (usual, asked)]
    assert places[0] == places[1], "another judge paints nothing anew"
    assert usual.folders.verdict(arms[0], usual.ways[0], 0) != asked.folders.verdict(arms[0], asked.ways[0], 0)


def test_the_command_takes_them(mine: Path, art: list[Path], tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velatura.evaluation.calibration.calibrate", lambda tasks: {task.kind: 1.0 for task in tasks})
    words = ["ada", "-o", "out", "--model", str(tiny_model), "--training", "4", "--dry-run", "--arm", "mine:make:0.1"]
    done = CliRunner().invoke(evaluate_command, [*words, "--judge", "mine:brightness"])
    assert done.exit_code == 0, done.output
    assert "arms: mine-make-0.1" in done.stderr
    wrong = CliRunner().invoke(evaluate_command, [*words, "--judge", "mine:nothing"]).exception
    assert isinstance(wrong, InputError)
    assert str(wrong) == "judge mine:nothing: expected nothing in mine, found none"


def test_pictures_are_made_again_when_the_function_changes(mine: Path, art: list[Path], tiny_model: Path) -> None:
    experiment = Experiment(art, "ada", [Arm.parse("mine.py:make:0.1")], model=str(tiny_model), training=4)
    before = Setup(experiment, mine / "out").folders.protected(experiment.arms[0])
    assert Setup(experiment, mine / "out").folders.protected(experiment.arms[0]) == before
    with (mine / "mine.py").open("a") as file:
        file.write("\n# another step\n")
    for one in (plugins.find, plugged._plugged):
        one.cache_clear()
    assert Setup(experiment, mine / "out").folders.protected(experiment.arms[0]) != before
