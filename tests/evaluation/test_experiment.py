"""The whole experiment, on Stable Diffusion's layout with a handful of random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from velatura import weights
from velatura.cli.lab.evaluate import evaluate_command
from velatura.countermeasures.purifier import Network, Purifier
from velatura.errors import Cancelled, InputError
from velatura.evaluation import Arm, Experiment, Setup, countering, run
from velatura.evaluation.calibration import calibrate
from velatura.evaluation.plan import tasks
from velatura.evaluation.protecting import protect_arm
from velatura.evaluation.setup import split
from velatura.images import read, save, working
from velatura.perception.flip import PPD
from velatura.protection import EFFORTS, Protector
from velatura.protection.panels import png
from velatura.reports.pictures import sheets
from velatura.styles import catalogue

pytest.importorskip("transformers")
pytest.importorskip("sklearn")


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
    with pytest.raises(InputError, match="others for the judge, got 9 in all: add 3 or more"):
        split(art[:9], 4)
    assert [len(part) for part in split(art[:12], None)] == [4, 8], "of few pictures the judge gets its share first"


SMALL: dict[str, Any] = {
    "changes": {"steps": 2, "batch": 2, "resolution": 64},
    "training": 4,
    "effort": "fast",
    "subjects": ("a cat", "a sea"),
    "each": 1,
    "sampling_steps": 2,
}
STAGES = ("fine-tuning", "protecting", "generating")


def test_from_pictures_to_rows_and_again(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    arms = [Arm.parse(text) for text in ("base", "real", "clean", "noise:0.1", "velatura:0.1")]
    experiment = Experiment(art, "ada", arms, model=str(tiny_model), **SMALL)
    planned = {task.what: task for task in tasks(Setup(experiment, tmp_path / "out"))}
    said: dict[str, tuple[int, int]] = {}
    result = run(experiment, tmp_path / "out", lambda what, done, total: said.update({what: (done, total)}))
    found = {(row.arm, row.metric) for row in result.rows}
    for arm in ("base", "real", "clean", "noise", "cloaked"):
        assert (arm, "style_top1") in found
    for metric in ("gain_over_noise_top3", "decoded_shift", "view_shift_top3", "lpips_max"):
        assert ("cloaked", metric) in found
    assert ("noise", "view_shift_top3") in found
    assert any("too weak on clean art" in flag for flag in result.flags)
    tree = json.loads((tmp_path / "out/result.json").read_text())
    assert {"experiment", "command", "version", "seed", "device", "settings", "weights", "rows", "flags"} <= set(tree)
    assert {"vae", "unet", "text_encoder", "lpips-vgg"} <= set(tree["weights"])
    assert {"styles", "style-predict", "style-transform", "mini"} <= set(tree["weights"])

    assert set(planned) == set(said), "the plan names every stage that then runs"
    assert all(said[what] == (task.units, task.units) for what, task in planned.items())
    assert all(task.done == 0 for task in planned.values())
    assert any(what.startswith("fine-tuning: velatura-0.1") for what in said)
    kept = tasks(Setup(experiment, tmp_path / "out"))
    assert all(not task.left for task in kept if task.what.startswith(STAGES)), "what is there costs nothing"

    sheet = sheets(tmp_path / "out", art=True)
    assert sheet[0].columns == ("base", "clean", "noise at 0.1", "velatura at 0.1")
    assert all(cell is not None for part in sheet for _, cells in part.rows for cell in cells)

    said.clear()
    again = run(experiment, tmp_path / "out", lambda what, done, total: said.update({what: (done, total)}))
    assert not [what for what in said if what.startswith(STAGES)]
    assert [what for what in said if what.startswith("judging")] == ["judging: real"]
    assert again.rows == result.rows


def test_a_plan_without_mimics_looks_at_what_the_model_sees(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    words = [str(art[0].parent), "-o", str(tmp_path / "out"), "--model", str(tiny_model), "--plan", "view"]
    words += ["--training", "4", "--effort", "fast"]
    done = CliRunner().invoke(evaluate_command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "no mimic" in done.output
    assert "still finds the style in" in done.output
    rows = json.loads((tmp_path / "out/result.json").read_text())["rows"]
    assert {row["arm"] for row in rows if row["metric"] == "view_shift_top3"} == {"noise", "cloaked"}
    assert {row["arm"] for row in rows if row["metric"] == "style_shift_top3"} == {"real"}, "no mimic was trained"
    assert not (tmp_path / "out/mimics").exists()
    drawn = json.loads((tmp_path / "out/result.json").read_text())["settings"]["targets"]["velatura-0.1"]
    other = next(style.name for style in catalogue.load().styles if style.name != drawn)
    named = CliRunner().invoke(evaluate_command, [*words, "--style", other], catch_exceptions=False)
    assert named.exit_code == 0, named.output
    assert json.loads((tmp_path / "out/result.json").read_text())["settings"]["targets"]["velatura-0.1"] == other
    for wrong in (["--seeds", "2"], ["--style", "nobody's"]):
        assert isinstance(CliRunner().invoke(evaluate_command, [*words, *wrong]).exception, InputError)


def test_several_ways_share_what_they_can(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    experiment = Experiment(
        art,
        "ada",
        [Arm.parse("clean"), Arm.parse("noise:0.1")],
        model=str(tiny_model),
        contents=art[:3],
        recipes=("", "img2img", "x1.5"),
        **SMALL,
    )
    setup = Setup(experiment, tmp_path / "out")
    assert [way.label for way in setup.ways] == ["full", "full img2img", "full 96 px"]
    assert (setup.resolution, setup.side) == (64, 96), "cloaks are made at the usual resolution, files kept larger"
    names = [task.what for task in tasks(setup)]
    assert sum(name.startswith("fine-tuning: noise-0.1") for name in names) == 2, "img2img needs no mimic of its own"
    assert sum(name.startswith("protecting") for name in names) == 1
    result = run(experiment, tmp_path / "out")
    shifts = {(r.arm, r.recipe): r.n for r in result.rows if r.metric == "style_shift_top3"}
    assert shifts == {
        (arm, recipe): n
        for arm in ("clean", "noise")
        for recipe, n in (("full", 2), ("full img2img", 3), ("full 96 px", 2))
    }
    assert [sheet.heading.split(" (")[1] for sheet in sheets(tmp_path / "out")] == [
        "full, seed 0)",
        "full img2img, seed 0)",
        "full 96 px, seed 0)",
    ]
    with pytest.raises(InputError, match="--contents"):
        Setup(replace(experiment, contents=()), tmp_path / "out")


def test_cloaks_for_files_larger_than_what_the_mimic_sees_are_made_for_how_those_look(
    tiny_model: Path, art: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = [Arm.parse("velatura:0.1")]
    experiment = Experiment(art, "ada", arms, model=str(tiny_model), recipes=("", "x1.5"), **SMALL)
    setup = Setup(experiment, tmp_path / "out")
    asked: list[float] = []
    recipe = Protector.recipe

    def noted(self: Protector, about: Any) -> Any:
        asked.append(recipe(self, about).ppd)
        return recipe(self, about)

    monkeypatch.setattr(Protector, "recipe", noted)
    figures = protect_arm(setup, arms[0], lambda done, total: None)
    assert asked == [pytest.approx(PPD / 1.5)] * 4
    assert all(0 < f["lpips"] <= 0.1 for f in figures)
    made = [working(read(path), 96) for path in setup.folders.protected(arms[0]).glob("*.png")]
    assert [min(x.shape[-2:]) for x in made] == [96] * 4
    usual = Setup(replace(experiment, recipes=("",)), tmp_path / "out")
    assert usual.folders.protected(arms[0]) != setup.folders.protected(arms[0])
    protect_arm(usual, arms[0], lambda done, total: None)
    assert asked[4:] == [PPD] * 4


def test_an_arm_may_name_its_target_style(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    arms = [Arm.parse(f"velatura:0.1{words}") for words in ("", " towards bosch-1", " towards franz-marc")]
    setup = Setup(Experiment(art, "ada", arms, model=str(tiny_model), style="leighton", **SMALL), tmp_path / "out")
    styles = []
    for arm in arms:
        protect_arm(setup, arm, lambda *_: None)
        styles.append(json.loads((setup.folders.protected(arm) / "figures.json").read_text())["style"])
    wanted = ("frederic-leighton", "hieronymus-bosch-1", "franz-marc")
    assert all(style.startswith(name) for style, name in zip(styles, wanted, strict=True))
    assert len({setup.folders.mimic(arm, setup.ways[0], 0) for arm in arms}) == 3
    with pytest.raises(InputError, match="style 'nobody'"):
        Setup(Experiment(art, "ada", [Arm.parse("glaze:0.1 towards nobody")], model=str(tiny_model)), tmp_path / "out")


def test_figures_of_noise_are_of_the_t_that_is_asked_for(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    """Its pictures, and the mimics that are trained on them, are the same whatever T is."""
    arm, found = Arm.parse("noise:0.1"), []
    for style in ("franz-marc", "hieronymus-bosch-1"):
        setup = Setup(Experiment(art, "ada", [arm], model=str(tiny_model), style=style, **SMALL), tmp_path / "out")
        assert not tasks(setup)[1].done
        found.append(
            (
                protect_arm(setup, arm, lambda *_: None),
                setup.folders.protected(arm),
                setup.folders.mimic(arm, setup.ways[0], 0),
            )
        )
        assert protect_arm(setup, arm, lambda *_: pytest.fail("done already")) == found[-1][0]
    (first, *places), (second, *others) = found
    assert places == others
    assert [f["lpips"] for f in first] == [f["lpips"] for f in second]
    assert [f["latent_remaining"] for f in first] != [f["latent_remaining"] for f in second]
    usual = Setup(Experiment(art, "ada", [arm], model=str(tiny_model), **SMALL), tmp_path / "out")
    assert usual.folders.card(arm) == places[0] / "figures.json"


def test_arms_of_one_name_are_refused(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    for name in ("sd15", "sdxl"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vae").symlink_to(tiny_model / "vae")
    arms = [Arm.parse(f"velatura:0.1 on {tmp_path / name / 'vae'}") for name in ("sd15", "sdxl")]
    experiment = Experiment(art, "ada", arms, model=str(tiny_model), **SMALL)
    with pytest.raises(InputError, match=r"arm velatura-0\.1-on-vae: expected another name for each arm"):
        Setup(experiment, tmp_path / "out")
    Setup(replace(experiment, arms=arms[:1] * 2), tmp_path / "out")


def test_an_arm_may_name_its_effort(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    efforts = ("default", "fast", "paper")
    arms = [Arm("velatura", 0.1), *(Arm.parse(f"velatura:0.1 at {effort}") for effort in efforts[1:])]
    setup = Setup(
        Experiment(art, "ada", arms, model=str(tiny_model), **SMALL | {"effort": "default"}), tmp_path / "out"
    )
    assert [setup.experiment.settings(arm).cloak.steps for arm in arms] == [EFFORTS[name].steps for name in efforts]
    assert [setup.experiment.settings(arm).warm_start for arm in arms] == [True, True, False]
    assert len({setup.folders.protected(arm).name.rpartition("-")[2] for arm in arms}) == 3
    with pytest.raises(InputError, match="leave out 'at fast'"):
        Setup(replace(setup.experiment, effort="fast"), tmp_path / "out")
    drawn = Arm.parse("photoguard:0.1")  # follows no effort, but its T does
    other = Setup(replace(setup.experiment, arms=[drawn], effort="paper"), tmp_path / "out")
    assert setup.folders.protected(drawn) != other.folders.protected(drawn)


def test_the_instant_cloak_is_refused_on_other_models_before_anything_starts(
    tiny_model: Path, art: list[Path], tmp_path: Path
) -> None:
    experiment = Experiment(art, "ada", [Arm.parse("instant:0.1")], model=str(tiny_model), **SMALL)
    with pytest.raises(InputError, match="made for the model mini only"):
        Setup(experiment, tmp_path / "out")
    Setup(replace(experiment, extractors=("mini",)), tmp_path / "out")


def test_cloaks_on_other_models_than_the_mimics_do_not_begin_from_what_knows_the_miniature(
    tiny_model: Path, art: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"velatura:0.1": True, "shuffled:0.1": True, "instant:0.1": True, "velatura:0.1 on mini": False}
    words |= {f"velatura:0.1 on {tiny_model}": False, "glaze:0.1": False, "noise:0.1": False}
    arms = {Arm.parse(text): begun for text, begun in words.items()}
    experiment = Experiment(art, "ada", list(arms), **SMALL)
    setup = Setup(experiment, tmp_path / "out")
    assert {arm: setup.experiment.settings(arm).warm_start for arm in arms} == arms
    before = {arm: setup.folders.protected(arm) for arm in arms}
    embedded = weights.sha256(weights.embedded("instant"))
    whole = weights.sha256
    monkeypatch.setattr(weights, "sha256", lambda path: "0" if (found := whole(path)) == embedded else found)
    assert {arm: setup.folders.protected(arm) != before[arm] for arm in arms} == arms
    velatura = [Arm.parse("velatura:0.1")]
    elsewhere = Setup(replace(experiment, arms=velatura, extractors=(str(tiny_model),)), tmp_path / "out")
    published = Setup(replace(experiment, arms=velatura, effort="paper"), tmp_path / "out")
    assert not elsewhere.experiment.settings(*velatura).warm_start
    asked = []

    def noticed(*args: object, warm_start: bool, **more: object) -> None:
        asked.append(warm_start)
        raise Cancelled("seen")

    monkeypatch.setattr("velatura.evaluation.protecting.protect", noticed)
    for made in (setup, elsewhere):
        with pytest.raises(Cancelled):
            protect_arm(made, velatura[0], lambda *_: None)
    assert asked == [True, False]
    assert not published.experiment.settings(*velatura).warm_start


def test_words_are_looked_for_of_all_pictures_or_of_one(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    arms = [Arm.parse("base"), Arm.parse("clean")]
    small = SMALL | {"changes": SMALL["changes"] | {"vectors": 4}}
    experiment = Experiment(art, "ada", arms, model=str(tiny_model), recipes=("pez", "pez one"), **small)
    setup = Setup(experiment, tmp_path / "out")
    assert [way.label for way in setup.ways] == ["pez", "pez one"]
    assert sum(task.what.startswith("generating: base") for task in tasks(setup)) == 2
    assert len({setup.folders.samples(arms[0], way, 0) for way in setup.ways}) == 1, (
        "the base model has no pictures to find"
    )
    result = run(experiment, tmp_path / "out")
    assert {(r.arm, r.recipe) for r in result.rows if r.metric == "style_top1"} == {
        ("base", "pez"),
        ("base", "pez one"),
        ("clean", "pez"),
        ("clean", "pez one"),
    }
    with pytest.raises(InputError, match="one picture"):
        Setup(replace(experiment, arms=[Arm.parse("noise:0.1@0.5")]), tmp_path / "out")
    cards = [json.loads((setup.folders.mimic(arms[1], way, 0) / "mimic.json").read_text()) for way in setup.ways]
    assert all(card["words"] for card in cards)
    assert [len(card["captions"]) for card in cards] == [4, 1]


def test_other_weights_or_pictures_never_meet_old_work(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    experiment = Experiment(art, "ada", [Arm.parse("velatura:0.1")], model=str(tiny_model), **SMALL)
    arm = experiment.arms[0]

    def places(setup: Setup) -> tuple[Path, ...]:
        way = setup.ways[0]
        stages = (setup.folders.protected(arm), setup.folders.mimic(arm, way, 0), setup.folders.samples(arm, way, 0))
        return *stages, setup.folders.verdict(arm, way, 0)

    setup = Setup(experiment, tmp_path)
    first = places(setup)
    assert places(Setup(experiment, tmp_path)) == first
    setup.digests = {**setup.digests, "unet": "another"}
    assert [a == b for a, b in zip(places(setup), first, strict=True)] == [True, False, False, False]
    other = places(Setup(replace(experiment, extractors=("mimic", "mini")), tmp_path))
    assert not set(other) & set(first)
    taught = Setup(experiment, tmp_path)
    taught.held_back = taught.held_back[1:]
    assert [a == b for a, b in zip(places(taught), first, strict=True)] == [True, True, True, False]
    save(setup.training[0].read_bytes() + b"\0", setup.training[0])
    assert not set(places(Setup(experiment, tmp_path))) & set(first)


def test_a_trial_tells_the_cost_of_every_kind_of_work(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    arms = [Arm.parse("clean"), Arm.parse("velatura:0.1@0.5")]
    setup = Setup(Experiment(art, "ada", arms, model=str(tiny_model), **SMALL), tmp_path)
    rates = calibrate(tasks(setup))
    assert set(rates) == {task.kind for task in tasks(setup)}
    assert all(0 < rate < 600 for rate in rates.values())


def test_a_dry_run_says_the_cost_and_leaves_nothing(
    tiny_model: Path, art: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("velatura.evaluation.calibration.calibrate", lambda tasks: {task.kind: 1.0 for task in tasks})
    (art[0].parent / "broken.png").write_bytes(b"no picture")
    arguments = [str(art[0].parent), "-o", str(tmp_path / "out"), "--model", str(tiny_model)]
    small = ["--train-steps", "1", "--training", "4", "-n", "1", "--arm", "clean", "--arm", "noise:0.1"]
    done = CliRunner().invoke(evaluate_command, [*arguments, *small, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "left out: " in done.stderr
    assert "in all about" in done.stderr
    assert not (tmp_path / "out").exists()


def test_pictures_protected_elsewhere_are_an_arm(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    done = CliRunner().invoke(
        evaluate_command,
        [
            str(art[0].parent),
            "-o",
            str(tmp_path / "out"),
            "--arm",
            f"other={tmp_path / 'none'}",
            "--arm",
            "clean",
            "--model",
            str(tiny_model),
            "--train-steps",
            "1",
            "--training",
            "4",
            "-n",
            "1",
        ],
    )
    assert isinstance(done.exception, InputError)
    assert "expected a protected" in str(done.exception)
    folder = tmp_path / "webp"
    folder.mkdir()
    odd = art[0].rename(art[0].with_name("00 [2019].png"))
    for path in (odd, *art[1:]):  # as `velatura protect --format webp` leaves them
        (folder / f"{path.stem}.sheet.png").write_bytes(b"")
        (folder / f"{path.stem}.webp").write_bytes(b"")
    one = Arm("other", folder=folder)
    setup = Setup(Experiment([odd, *art[1:]], "ada", [one], training=4, model=str(tiny_model)), tmp_path / "out")
    assert [path.name for path in setup.elsewhere(one)] == [f"{path.stem}.webp" for path in setup.training]


def test_training_pictures_of_one_name_are_all_protected(tiny_model: Path, art: list[Path], tmp_path: Path) -> None:
    """In folders of their own, and of another kind: none may take another's place."""
    (art[0].parent / "older").mkdir()
    moved = [path.rename(path.parent / "older" / f"{i % 2:02}.png") for i, path in enumerate(art[:2])]
    arm = Arm("noise", 0.1)
    setup = Setup(Experiment([*moved, *art[2:]], "ada", [arm], training=4, model=str(tiny_model)), tmp_path / "out")
    setup.training = [moved[0], art[2].rename(art[2].with_name("00.png")), *setup.training[:2]]
    protect_arm(setup, arm, lambda *_: None)
    files = countering.found(setup, arm)
    assert len({file.read_bytes() for file in files}) == len(files) == 4


def test_a_countermeasure_stands_between_the_cloak_and_the_mimic(
    tiny_model: Path, art: list[Path], tmp_path: Path
) -> None:
    texts = ("clean", "noise:0.1", "noise:0.1 then jpeg quality=5", "clean then jpeg quality=5")
    experiment = Experiment(art, "ada", [Arm.parse(text) for text in texts], model=str(tiny_model), **SMALL)
    setup = Setup(experiment, tmp_path / "out")
    noise, treated, plain = experiment.arms[1:]
    planned = {task.what for task in tasks(setup)}
    said: set[str] = set()
    result = run(experiment, tmp_path / "out", lambda what, done, total: said.add(what))
    assert planned == said
    assert setup.folders.protected(treated) == setup.folders.protected(noise), "protected once"
    assert len({setup.folders.mimic(arm, setup.ways[0], 0) for arm in experiment.arms}) == 4
    assert {path.name for path in setup.folders.treated(plain).glob("*.png")} == {path.name for path in setup.training}
    far = {(r.arm, r.countermeasure): r.value for r in result.rows if r.metric == "lpips"}
    assert set(far) == {("noise", None), ("noise", "jpeg quality=5"), ("clean", "jpeg quality=5")}
    assert far["clean", "jpeg quality=5"] > 0.02
    shifts = {(r.arm, r.countermeasure) for r in result.rows if r.metric == "style_shift_top3"}
    assert shifts == {("clean", None), *far}
    learned = Experiment(art, "ada", [Arm.parse("clean then learned")], model=str(tiny_model), **SMALL)
    with pytest.raises(InputError, match="--purifier FILE"):
        Setup(learned, tmp_path / "other")


@pytest.fixture
def others(tmp_path: Path, make_scene: Callable[..., Tensor]) -> Path:
    """Pairs of two other artists, of whom a screen of fine lines gives the cloaked ones away."""
    for i in range(20):
        picture = make_scene(64, 72, 100 + i)
        screen = 0.08 * (torch.arange(72) % 2 - 0.5) * torch.tensor([1.0, -1, 1]).view(3, 1, 1)
        for part, made in (("clean", picture), ("cloaked", (picture + screen).clamp(0, 1))):
            folder = tmp_path / "pairs" / part / f"artist-{i % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            save(png(made), folder / f"{i}.png")
    return tmp_path / "pairs"


def test_what_a_detector_finds_is_left_out_and_generations_are_denoised(
    tiny_model: Path, art: list[Path], others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = (
        *("noise:0.2@0.5", "noise:0.2@0.5 dropping trained", "clean denoised blur sigma=4"),
        *("clean then crop", "clean then learned"),
    )
    save(Purifier(Network(), 64, {}).save(), tmp_path / "purifier")
    plan = Experiment(
        art,
        "ada",
        [Arm.parse(t) for t in texts],
        model=str(tiny_model),
        pairs=others,
        purifier=tmp_path / "purifier",
        **SMALL,
    )
    setup = Setup(plan, tmp_path / "out")
    plain, dropping, denoised = plan.arms[:3]
    way = setup.ways[0]
    # Both protected ones are found, but three pictures are needed.
    monkeypatch.setattr(countering, "FEWEST_TO_TRAIN", 3)
    monkeypatch.setattr(countering.detect, "judged", lambda name, suspects, *others: (np.array([9.0, 8, 1, 0]), 3.0))
    planned, said = {task.what for task in tasks(setup)}, {}
    result = run(plan, tmp_path / "out", lambda what, done, total: said.update({what: (done, total)}))
    assert planned == set(said)
    assert all(done == total for done, total in said.values())
    rows = {(r.arm, r.countermeasure, r.metric): r for r in result.rows}
    found, lost = (rows["noise", "dropping trained", f"dropped_{kind}"] for kind in ("protected", "clean"))
    assert (found.value, found.n) == (0.5, 2), "the least suspicious ones are kept"
    assert (lost.value, lost.n) == (0, 2)
    cards = [json.loads((setup.folders.mimic(arm, way, 0) / "mimic.json").read_text()) for arm in (plain, dropping)]
    assert [len(card["captions"]) for card in cards] == [4, 3]
    assert setup.folders.protected(plain) == setup.folders.protected(dropping)

    assert setup.folders.mimic(denoised, way, 0) == setup.folders.mimic(Arm("clean"), way, 0), "one mimic paints both"
    raw, smooth = (next(setup.folders.samples(a, way, 0).glob("0000.png")) for a in (Arm("clean"), denoised))
    roughness = [float(working(read(path), 64).diff(dim=-1).abs().mean()) for path in (raw, smooth)]
    assert roughness[1] < 0.5 * roughness[0]
    assert ("clean", "denoised blur sigma=4", "style_shift_top3") in rows
    assert rows["clean", "crop", "lpips"].value < 0.01, "compared with originals that were cropped alike"
    assert rows["clean", "learned", "lpips"].value < 0.01, "it has learned nothing yet"
    assert "purifier" in json.loads((tmp_path / "out/result.json").read_text())["weights"]
    assert not [t for t in tasks(Setup(plan, tmp_path / "out")) if t.left and not t.what.startswith(("judg", "teach"))]


def test_a_base_model_that_has_seen_cloaks(tiny_model: Path, art: list[Path], others: Path, tmp_path: Path) -> None:
    arms = [Arm.parse(text) for text in ("base", "clean")]
    plan = Experiment(art, "ada", arms, model=str(tiny_model), pairs=others, recipes=("", "robust3"), **SMALL)
    setup = Setup(plan, tmp_path / "out")
    usual, robust = setup.ways
    assert robust.robust_training is not None
    assert (robust.robust_training.steps, robust.robust_training.cosine, robust.settings.steps) == (3, False, 2)
    rates = calibrate(tasks(setup))
    assert all(rates[task.kind] > 0 for task in tasks(setup))
    planned, said = {task.what for task in tasks(setup)}, set()
    result = run(plan, tmp_path / "out", lambda what, done, total: said.add(what))
    assert planned == said
    assert "hardening: robust 3" in said
    shifts = {(r.arm, r.recipe) for r in result.rows if r.metric == "style_shift_top3"}
    assert shifts == {(arm, recipe) for arm in ("base", "clean") for recipe in ("full", "full robust 3")}
    card = json.loads((setup.folders.robust_base(robust) / "mimic.json").read_text())
    assert set(card["captions"]) == {"a picture by artist 0", "a picture by artist 1"}
    places = {setup.folders.samples(arm, way, 0) for arm in arms for way in setup.ways}
    assert len(places) == 4
    assert setup.folders.mimic(arms[1], usual, 0).name != setup.folders.mimic(arms[1], robust, 0).name
    assert result.settings["pairs"] == 20
    with pytest.raises(InputError, match="--pairs FOLDER"):
        Setup(replace(plan, pairs=None), tmp_path / "other")
    with pytest.raises(InputError, match="the folders cloaked and clean"):
        Setup(replace(plan, pairs=tmp_path), tmp_path / "other")
