"""The fast table: every arm goes through every countermeasure, and what stands in the way of belief is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from velatura.cli.lab.report import report_command
from velatura.cli.lab.robustness import robustness_command
from velatura.countermeasures import COUNTERMEASURES
from velatura.countermeasures.purifier import Network, Purifier
from velatura.countermeasures.treatment import prepare
from velatura.diffusion import extractors
from velatura.errors import Cancelled, InputError
from velatura.evaluation import robustness
from velatura.evaluation.references import Eye, References, applied
from velatura.evaluation.robustness import Robustness, run
from velatura.images import save
from velatura.protection.panels import png

pytest.importorskip("sklearn")
pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory, make_scene: Callable[..., Tensor]) -> list[Path]:
    folder = tmp_path_factory.mktemp("art") / "ada-lovelace"
    folder.mkdir()
    paths = [folder / f"{i:02}.png" for i in range(13)]
    for i, path in enumerate(paths):
        save(png(make_scene(64, 72, 20 + i)), path)
    return paths


class Stranger:
    """A judge to whom a picture is the artist's if it is bright."""

    def ranks(self, pictures: list[Tensor], artist: str) -> Tensor:
        return torch.tensor([1 if float(x.mean()) > 0.5 else 9 for x in pictures])


def test_every_arm_meets_every_countermeasure_and_a_stopped_run_continues(
    art: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[Path] = []
    monkeypatch.setattr(robustness.judges, "fit", lambda victims, device: taught.extend(victims["ada"]) or Stranger())
    said: list[str] = []

    def stop(what: str, done: int, total: int) -> None:
        if what == "glaze-0.2: jpeg":
            raise Cancelled("stop")

    plan = Robustness(
        art,
        "ada",
        budgets=(0.2,),
        countermeasures=("jpeg", "blur"),
        changes={"blur.sigma": "6"},
        method="glaze",
        effort="max",
        pictures=4,
        side=64,
        seen=("jpeg",),
    )
    out = tmp_path / "r.json"
    with pytest.raises(Cancelled):
        run(plan, out, stop)
    assert not out.exists()
    with pytest.raises(InputError, match="other pictures or settings"):
        run(replace(plan, changes={"blur.sigma": "5"}), out)
    made = robustness.protect
    monkeypatch.setattr(robustness, "protect", lambda *args: pytest.fail("protected before"))
    result = run(plan, out, lambda what, done, total: said.append(what))
    monkeypatch.setattr(robustness, "protect", made)
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    assert len(set(taught)) == 9, "the judge learns from the pictures that are not treated"
    rows = {(r.arm, r.budget, r.countermeasure, r.metric): r for r in result.rows}
    for arm, budget in (("clean", None), ("noise", 0.2), ("cloaked", 0.2)):
        for name in ("none", "jpeg", "blur"):
            for metric in ("decoded_shift", "lpips_to_clean", "psnr_to_clean", "view_shift_top1"):
                row = rows[arm, budget, name, metric]
                assert row.n == 4
                assert row.low is not None
                assert row.low <= row.value <= row.high
    assert rows["clean", None, "none", "decoded_shift"].value == pytest.approx(0, abs=1e-5)
    assert rows["clean", None, "none", "psnr_to_clean"].value == 60
    plain, blurred = (rows["cloaked", 0.2, name, "decoded_shift"].value for name in ("none", "blur"))
    assert plain > 0.2
    assert rows["cloaked", 0.2, "none", "decoded_shift_over_noise"].value > 0.2
    assert abs(blurred) < plain, "a strong blur takes the cloak with it"
    assert rows["cloaked", 0.2, "blur", "psnr_to_clean"].value < 30, "and the picture"
    recipes = {r.countermeasure: r.recipe for r in result.rows}
    assert recipes == {"none": "fast", "jpeg": "fast, seen", "blur": "fast, held out"}
    assert any("seen by the cloak's optimiser" in flag for flag in result.flags)
    assert result.settings["attacks"][1]["sigma"] == 6
    assert any(what == "glaze-0.2: blur" for what in said)


@pytest.mark.parametrize(("name", "changes"), [("crop", {"keep": "0.7"}), ("rotate", {"degrees": "8"}), ("blur", {})])
def test_what_is_moved_is_compared_in_register(
    name: str, changes: dict[str, str], make_scene: Callable[..., Tensor]
) -> None:
    """A picture that has become its target has gone all of the way, wherever a treatment then moves it."""
    originals, targets = ([make_scene(64, 72, seed + i) for i in range(2)] for seed in (1, 30))
    eye, treatment = Eye(extractors.load("mini")), prepare(name, changes)
    still = References(originals, targets, eye)
    place = still.after(treatment)
    assert (place is still) == (name == "blur")
    assert place is still.after(treatment)
    for pictures, wanted in ((targets, 0.0), (originals, 1.0)):
        away = [eye.distance(x, goal) for x, goal in zip(applied(treatment, pictures, "cpu"), place.goals, strict=True)]
        shares = [now / start for now, start in zip(away, place.start, strict=True)]
        if name != "blur":
            assert shares == pytest.approx([wanted, wanted], abs=1e-4)
            elsewhere = eye.distance(applied(treatment, targets, "cpu")[0], still.goals[0])
            assert elsewhere > 0.2 * still.start[0], "so a target that stays would have misled"


def test_an_artist_whom_the_judge_knows_keeps_that_name() -> None:
    assert robustness._known(Robustness([], "walter crane")) == "walter-crane"


def test_of_all_what_cannot_run_is_flagged_and_what_was_asked_for_is_an_error(art: list[Path]) -> None:
    treatments, flags = robustness._treatments(Robustness(art, "ada", model="mini"))
    missing = {flag.partition(":")[0] for flag in flags}
    assert {treatment.name for treatment in treatments} | missing == set(COUNTERMEASURES)
    assert "learned" in missing
    assert "jpeg" not in missing
    with pytest.raises(InputError, match="expected --purifier FILE"):
        robustness._treatments(Robustness(art, "ada", countermeasures=("learned",)))
    with pytest.raises(InputError, match="quality: expected"):
        robustness._treatments(Robustness(art, "ada", changes={"jpeg.quality": "900"}))


def test_few_pictures_leave_no_judge(art: list[Path]) -> None:
    flags: list[str] = []
    assert robustness._split(Robustness(art[:3], "ada", pictures=2), flags) == (art[:2], [])
    assert "no style judge" in flags[0]
    with pytest.raises(InputError, match="two pictures or more"):
        robustness._split(Robustness(art[:1], "ada"), flags)


def test_pictures_that_repeat_each_other_leave_no_judge_either(art: list[Path], tmp_path: Path) -> None:
    """Twelve are enough, unless one of them shows what another shows: then too few are left to teach the judge."""
    few = [Path(shutil.copy(path, tmp_path)) for path in sorted(art)[:12]]
    few[-1].write_bytes(few[0].read_bytes())
    counts = set()
    for seed in range(4):
        flags: list[str] = []
        chosen, others = robustness._split(Robustness(few, "ada", seed=seed, pictures=4), flags)
        counts.add((len(chosen), len(others)))
        assert bool(others) != any("no style judge" in flag for flag in flags)
    assert (4, 0) in counts


def test_a_cloak_that_is_lost_is_named() -> None:
    plan = Robustness([], "ada", budgets=(0.1,))
    shifts = {
        ("noise", 0.1, "none"): [0.0, 0.01, 0.02],
        ("velatura", 0.1, "none"): [0.5, 0.6, 0.55],
        ("noise", 0.1, "blur"): [0.0, 0.1, 0.05],
        ("velatura", 0.1, "blur"): [0.05, 0.08, 0.02],
    }
    rows = robustness._gains(plan, shifts)
    assert [row.countermeasure for row in rows] == ["none", "blur"]
    assert rows[0].value == pytest.approx(0.54)
    (lost, _) = robustness._warnings(plan, rows)
    assert lost == "velatura at 0.1: not shown to be better than noise after blur"


def measured(art: list[Path], out: Path, model: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    asked = [*map(str, art[:2]), "-o", str(out), "--model", str(model), "--effort", "fast"]
    quick = ("diffuse.steps=4", "diffuse.strength=0.5", "upscale.steps=4", "upscale.strength=0.5", "impress.steps=2")
    settings = [word for change in quick for word in ("--set", change)]
    done = CliRunner().invoke(
        robustness_command, [*arguments, *asked, "-r", "64", "--artist", "ada lovelace", *settings]
    )
    assert done.exit_code == 0, done.output
    return json.loads(out.read_text()), done.output


def test_the_command_writes_the_schema_and_takes_lists(art: list[Path], tmp_path: Path, tiny_model: Path) -> None:
    (art[0].parent / "broken.png").write_bytes(b"no picture")  # costs a line, not the run
    lists = ("--budgets", "low", "0.2", "--countermeasures", "vae", "diffuse")
    tree, output = measured(art, tmp_path / "r.json", tiny_model, *lists)
    assert {"experiment", "command", "version", "seed", "device", "settings", "weights", "rows", "flags"} <= set(tree)
    assert {row["budget"] for row in tree["rows"]} == {None, 0.05, 0.2}
    assert {row["countermeasure"] for row in tree["rows"]} == {"none", "vae", "diffuse"}
    assert {row["artist"] for row in tree["rows"]} == {"ada lovelace"}
    assert "noise 0.2        diffuse" in output
    assert "velatura 0.2     vae" in output, "the cloak is made on that folder's autoencoder"
    with pytest.raises(InputError, match="exists already"):
        robustness_command.main([str(art[0]), "-o", str(tmp_path / "r.json")], standalone_mode=False)
    page = CliRunner().invoke(report_command, [str(tmp_path / "r.json"), "--format", "md"])
    assert "### ada lovelace · velatura at 0.2" in page.output
    assert "| diffuse | 0.2 |" in page.output


@pytest.mark.slow
def test_one_command_measures_all_of_them_on_a_stable_diffusion_folder(
    art: list[Path], tmp_path: Path, tiny_model: Path
) -> None:
    file = tmp_path / "purifier.safetensors"
    save(Purifier(Network(), 64, {}).save(), file)
    everything = ("--countermeasures", "all", "--purifier", str(file), "--budgets", "0.2")
    tree, _ = measured(art, tmp_path / "r.json", tiny_model, *everything)
    assert {row["countermeasure"] for row in tree["rows"]} == {"none", *COUNTERMEASURES}
    assert "purifier" in tree["weights"]


def test_names_win_over_folders_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("art", "jpeg", "0.1"):
        (tmp_path / name).mkdir()
    words = ["--countermeasures", "jpeg", "blur", "--budgets", "0.1", "low", "art", "-o", "r.json"]
    asked = robustness_command.make_context("robustness", words).params
    assert (asked["names"], asked["budgets"], asked["art"]) == (("jpeg", "blur"), ("0.1", "low"), (Path("art"),))
    asked = robustness_command.make_context(
        "robustness", ["--countermeasures", "blur", "./jpeg", "-o", "r.json"]
    ).params
    assert (asked["names"], asked["art"]) == (("blur",), (Path("jpeg"),))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--countermeasures", "magic"], "countermeasure 'magic': expected one of noise"),
        (["--budgets", "loud"], "expected low, default, high"),
        (["--cloak", "magic"], "cloak 'magic'"),
        (["--set", "quality=4"], "NAME.KEY=VALUE"),
        (["--set", "magic.quality=4"], "expected one of noise"),
        (["-r", "100"], "multiple of 8"),
    ],
)
def test_wrong_requests_cost_a_line(arguments: list[str], says: str, art: list[Path], tmp_path: Path) -> None:
    asked = [str(art[0].parent), "-o", str(tmp_path / "r.json"), *arguments]
    failed = CliRunner().invoke(robustness_command, asked)
    assert isinstance(failed.exception, InputError), failed.output
    assert says in str(failed.exception)


def test_what_a_product_cloak_begins_from_is_part_of_its_result(
    art: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def noticed(*args: object, warm_start: bool, **more: object) -> None:
        asked.append(warm_start)
        raise Cancelled("seen")

    monkeypatch.setattr(robustness, "protect", noticed)
    monkeypatch.setattr(robustness.judges, "fit", lambda victims, device: Stranger())
    small = Robustness(art, "ada", countermeasures=["jpeg"], pictures=3, side=64, style="Aubrey Beardsley")
    for models in ((), ("mini",)):
        with pytest.raises(Cancelled):
            run(replace(small, cloak_models=models))
    assert asked == [True, False]
    own = Robustness(art, "ada", model="mini")
    assert own.warm_start
    assert "instant" in robustness._weights(own, extractors.load("mini"), [], False)
    others = ({"method": "glaze"}, {"effort": "paper"}, {"cloak_models": ("another",)})
    for changes in others:
        plan = Robustness(art, "ada", model="mini", **changes)
        assert not plan.warm_start
        assert "instant" not in robustness._weights(plan, extractors.load("mini"), [], False)
