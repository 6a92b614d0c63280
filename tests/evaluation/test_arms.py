"""Arms: what they are called, and that they differ in their aim only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from velatura.cli.lab.evaluate import PLAN_NAMES, evaluate_command
from velatura.errors import InputError
from velatura.evaluation import METHODS, Arm, named_plans
from velatura.evaluation.arms import countermeasure, visible_bound
from velatura.evaluation.figures import cloak_rows, compared, known_as
from velatura.evaluation.methods import NO_BOUND, Work
from velatura.evaluation.protecting import protect
from velatura.evaluation.recipes import Recipe
from velatura.images import read, working
from velatura.perception.flip import flip
from velatura.protection import Protector, Settings
from velatura.protection.panels import png
from velatura.protection.protector import Circumstances
from velatura.protection.settings import COLOURLESS, flip_bound
from velatura.styles import catalogue


@pytest.mark.parametrize(
    ("text", "key", "kind"),
    [
        ("clean", "clean", "clean"),
        ("noise:0.05", "noise-0.05", "noise"),
        ("velatura:0.1@0.5", "velatura-0.1@0.5", "cloaked"),
        ("glaze2=there", "glaze2", "cloaked"),
        ("glaze2:0.1=a b/c@d", "glaze2-0.1", "cloaked"),
        ("glaze:0.1 on mini+models/taesd@0.25", "glaze-0.1-on-mini+taesd@0.25", "cloaked"),
        ("shuffled:0.2", "shuffled-0.2", "shuffled"),
        ("glaze:0.1 towards el greco", "glaze-0.1-towards-el-greco", "cloaked"),
        ("velatura:0.1 at fast on mini@0.5", "velatura-0.1-at-fast-on-mini@0.5", "cloaked"),
    ],
)
def test_arms_are_named(text: str, key: str, kind: str) -> None:
    arm = Arm.parse(text)
    assert (arm.key, arm.kind) == (key, kind)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("magic:0.1", "expected one of base, real, clean"),
        ("noise", "as in noise:0.05"),
        ("noise:7", "above 0 and up to 1"),
        ("noise:x", "METHOD:BUDGET"),
        ("velatura:0.1@2", "share above 0"),
        ("noise=folder", "choose another"),
        ("a/b=folder", "choose another"),
        ("noise:0.1@half", "METHOD:BUDGET"),
        ("noise:0.1 on mini", "not made on a model"),
        ("noise:0.1 towards bosch", "no target style of its own"),
        ("velatura:0.1 at once", "effort: expected one of fast, default, max, paper, got 'once'"),
        ("photoguard:0.1 at fast", "no effort to choose"),
        ("scattered:0.1 towards bosch", "no target style of its own"),
    ],
)
def test_wrong_arms_are_one_line(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Arm.parse(text)


def test_results_tell_shares_and_models_apart() -> None:
    named = {text: Arm.parse(text).label for text in ("clean", "noise:0.1", "noise:0.1@0.5", "velatura:0.1 on a+b@0.5")}
    assert list(named.values()) == [None, None, "noise@0.5", "velatura on a+b@0.5"]
    assert Arm.parse("velatura:0.1 at max on a towards b@0.5 then blur").label == "velatura at max on a towards b@0.5"
    assert Arm.parse("mine=a@b/c").folder == Path("a@b/c")
    assert Arm.parse("mine=a at b/c").folder == Path("a at b/c")
    assert Arm.parse("shuffled:0.1 at fast").label == "shuffled at fast"


def test_plans_have_their_controls() -> None:
    for name, plan in named_plans.PLANS.items():
        arms = named_plans.arms(name, ("taef2",))
        assert ({"real", "clean"} if plan.mimics else {"real"}) <= {arm.method for arm in arms}
        noise = {(arm.budget, arm.share) for arm in arms if arm.method == "noise"}
        assert all((arm.budget, arm.share) in noise for arm in arms if arm.kind == "cloaked")
        assert all(Recipe.parse(text) for text in plan.recipes)
        assert name in named_plans.listed()
        assert "other" not in {model for arm in arms for model in arm.on}
    assert named_plans.arms("extractors", ("a", "b"))[-1].on == ("mimic", "a", "b")
    assert PLAN_NAMES.split(", ") == list(named_plans.PLANS)
    with pytest.raises(InputError, match="expected one of quick, view, headline"):
        named_plans.arms("none")
    with pytest.raises(InputError, match="--cloak-model"):
        named_plans.arms("extractors")


def test_recipes_are_read_and_refused() -> None:
    assert Recipe.parse("", "lora") == Recipe("lora")
    assert Recipe.parse("x0.75 img2img") == Recipe("full", 0.75, 0.6)
    assert [Recipe.parse(text).resolution(128) for text in ("", "x0.75", "x1.5")] == [128, 96, 192]
    assert [Recipe.parse(text).resolution(512) for text in ("", "x0.75", "x1.5")] == [512, 384, 768]
    assert Recipe.parse("robust300") == Recipe(robust=300)
    assert Recipe.parse("pez one") == Recipe("pez", one=True)
    for text in ("loar", "x9", "xx", "robust", "robust0"):
        with pytest.raises(InputError, match="recipe"):
            Recipe.parse(text)


def test_every_method_uses_the_same_budget_and_only_cloaks_have_an_aim(make_scene: Callable[..., Tensor]) -> None:
    pictures = [make_scene(64, 72, seed) for seed in range(3)]
    mean: dict[str, dict[str, float]] = {}
    # Minutes, or as photoguard and veil; tests/cloaks are about them.
    through_unet = {name for name, row in METHODS.items() if row.through_unet}
    dear = {*through_unet, "application", "styleguard", "blend", "hardened"}
    for method in sorted({*METHODS} - dear):
        protector = Protector(Settings(models=("mini",), effort="fast", resolutions=(64,), style="Aubrey Beardsley"))
        made = protect(Arm(method, 0.1), protector, pictures, 0)
        assert len(made.files) == 3
        # Where what is seen is bounded as well, that may be reached first.
        seen = [float(flip(x, working(read(file), 64))) for x, file in zip(pictures, made.files, strict=True)]
        most = visible_bound(Arm(method, 0.1))
        assert all(f["lpips"] <= 0.1 + 1e-6 for f in made.figures), (method, made.figures)
        assert all(one <= 1.02 * most for one in seen), (method, seen)
        used = [max(f["lpips"] / 0.1, one / most) for f, one in zip(made.figures, seen, strict=True)]
        assert min(used) > 0.8, (method, used)
        mean[method] = {key: sum(f[key] for f in made.figures) / 3 for key in made.figures[0]}
    for method, most in (("glaze", 0.6), ("velatura", 0.85)):
        assert mean[method]["latent_remaining"] < most
    for method in ("noise", "shuffled"):
        assert mean[method]["latent_remaining"] > 0.85
    assert mean["velatura"]["psnr_db"] > mean["glaze"]["psnr_db"], "what is seen is bounded as well"


def test_a_body_of_work_goes_one_way_or_each_picture_its_own(
    make_scene: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, asked = [make_scene(64, 72, seed) for seed in range(3)], []
    painted: dict[str, list[Tensor]] = {}
    usual = Protector.choose
    # Of these pictures alone, or of all, it is another style; what is made of it is no matter here.
    styles = [style.name for style in catalogue.load().styles]

    def choose(self: Protector, looks: Sequence[Any], **options: Any) -> Any:
        asked.append(len(looks))
        self.settings = replace(self.settings, style=styles[len(asked)])
        return usual(self, looks, **options)

    monkeypatch.setattr(Protector, "choose", choose)
    found = {}
    for method in ("velatura", "scattered"):

        def make(protector: Protector, work: Work, settings: object, method: str = method) -> list[Tensor]:
            painted[method] = list(work.targets)
            return METHODS["noise"](protector, work)

        monkeypatch.setitem(METHODS, method, replace(METHODS[method], make=make))
        settings = Settings(models=("mini",), effort="fast", resolutions=(64,))
        found[method] = protect(Arm(method, 0.1), Protector(settings), pictures, 0).style
    assert asked == [3, 1, 1, 1]
    assert found == {"velatura": styles[1], "scattered": ", ".join(sorted(styles[2:5]))}
    for i, style in enumerate(styles[2:5]):
        wanted = Protector(replace(settings, style=style))
        target = wanted.paint(pictures[i], usual(wanted, [wanted.look(read(png(pictures[i])))]))
        own, common = (float((painted[method][i] - target).abs().mean()) for method in ("scattered", "velatura"))
        assert own < 0.01 < 0.05 < common, "8 bits of the file lie between"


def test_the_published_cloak_scaled_to_the_bound_on_what_is_seen(make_scene: Callable[..., Tensor]) -> None:
    x, t = make_scene(64, 72), make_scene(64, 72, 5)
    settings = Settings(models=("mini",), effort="fast", resolutions=(64,), style="Aubrey Beardsley", budget=0.3)
    deltas = {}
    for method, most in (("glaze", NO_BOUND), ("glaze-bounded", 0.03)):
        protector = Protector(replace(settings, flip=most))
        deltas[method] = METHODS[method](protector, Work([x], [t], [Circumstances()], 0.3, 0))[0]
    assert flip(x, x + deltas["glaze"]) > 0.05
    assert 0.027 < flip(x, x + deltas["glaze-bounded"]) < 0.031
    assert torch.nn.functional.cosine_similarity(*(d.flatten(1) for d in deltas.values())) > 0.98, "8 bits lie between"


def test_the_bound_on_what_is_seen_is_the_products(make_scene: Callable[..., Tensor]) -> None:
    assert [visible_bound(Arm(name, 0.1)) for name in ("velatura", "veil", "glaze-bounded")] == [flip_bound(0.1)] * 3
    assert visible_bound(Arm("glaze", 0.1)) == NO_BOUND
    published = {name: visible_bound(Arm(name, 0.1), True) for name in ("velatura", "shuffled", "glaze-bounded")}
    assert published == {"velatura": NO_BOUND, "shuffled": NO_BOUND, "glaze-bounded": flip_bound(0.1)}
    settings = Settings(models=("mini",), effort="fast", resolutions=(64,), style="beardsley")
    made = protect(Arm("velatura", 0.2), Protector(settings), [x := make_scene(64, 72)], 0)
    saved = read(made.files[0])
    assert 0.8 * flip_bound(0.2) < flip(x, working(saved, 64)) <= 1.02 * flip_bound(0.2)
    grey = x.mean(1, keepdim=True).expand_as(x)
    made = protect(Arm("velatura", 0.2), Protector(settings), [grey], 0)
    own = COLOURLESS * flip_bound(0.2)
    assert flip(grey, working(read(made.files[0]), 64)) <= 1.02 * own, "also where it goes by the kind of picture"


def test_gain_over_noise_is_of_pairs() -> None:
    arms = [Arm("noise", 0.1), Arm("velatura", 0.1), Arm("glaze2", folder=Path("x"))]
    ranks = {
        "noise-0.1": {0: torch.tensor([1, 1, 2, 9])},
        "velatura-0.1": {0: torch.tensor([5, 6, 2, 9])},
        "glaze2": {0: torch.tensor([1, 1, 1, 1])},
    }
    rows = {row.metric: row for row in compared(arms, ranks, "ada", "full")}
    assert rows["gain_over_noise_top3"].value == pytest.approx(0.5)
    assert rows["gain_over_noise_top1"].value == pytest.approx(0.5)
    assert rows["gain_over_noise_top3"].n == 4
    assert len(rows) == 2, "an arm without noise of its budget is compared with nothing"


def test_the_interval_of_a_gain_is_of_pairs() -> None:
    """Two mimics that miss the same pictures differ surely; by the same figures of other pictures, not."""
    arms = [Arm("noise", 0.1), Arm("velatura", 0.1)]
    ours, theirs = torch.tensor([9] * 60 + [1] * 36), torch.tensor([9] * 48 + [1] * 48)
    found = {}
    for name, control in (("same", theirs), ("other", theirs.flip(0))):
        rows = compared(arms, {"velatura-0.1": {0: ours}, "noise-0.1": {0: control}}, "ada", "full")
        found[name] = next(row for row in rows if row.metric == "gain_over_noise_top3")
    assert found["same"].value == found["other"].value == pytest.approx(0.125)
    # A t-interval (of 30 degrees of freedom, the table's last) over 96 differences, 12 of which are 1.
    half = 2.042 * (12 / 96 * 84 / 96 * 96 / 95 / 96) ** 0.5
    assert (found["same"].low, found["same"].high) == pytest.approx((0.125 - half, 0.125 + half), abs=1e-4)
    assert found["other"].low is not None
    assert found["other"].low < 0


def test_our_own_gain_is_over_every_other_arm() -> None:
    arms = [Arm(method, 0.1) for method in ("noise", "shuffled", "mist", "velatura")]
    ranks = {arm.key: {0: torch.tensor([1, 9]), 1: torch.tensor([1, 1])} for arm in arms}
    ranks["velatura-0.1"] = {0: torch.tensor([9, 9]), 1: torch.tensor([9, 1])}
    rows = {(row.cloak, row.metric): row for row in compared(arms, ranks, "ada", "full")}
    ours = {metric for cloak, metric in rows if cloak == "velatura" and metric.endswith("top3")}
    assert ours == {f"gain_over_{method}_top3" for method in ("noise", "shuffled", "mist")}
    assert {metric for cloak, metric in rows if cloak == "mist"} == {"gain_over_noise_top1", "gain_over_noise_top3"}
    assert rows["velatura", "gain_over_mist_top3"].value == 0.5


def test_gain_over_the_published_objective_is_of_the_same_model_target_and_share() -> None:
    texts = ("glaze:0.1 towards c", "glaze:0.1", "glaze:0.1 on b", "velatura:0.1", "velatura:0.1@0.5")
    arms = [Arm.parse(text) for text in texts]
    ranks = {arm.key: {0: torch.tensor([1, 9]), 1: torch.tensor([9, 9])} for arm in arms}
    ranks["glaze-0.1"] = {0: torch.tensor([1, 1])}
    rows = [r for r in compared(arms, ranks, "ada", "full") if r.metric == "gain_over_glaze_top3"]
    assert [(r.cloak, r.value, r.n) for r in rows] == [("velatura", 0.5, 2)]


def test_another_effort_is_compared_with_the_usual_one_and_with_others_of_its_own() -> None:
    texts = ("velatura:0.1", "velatura:0.1 at fast", "glaze:0.1", "glaze:0.1 at fast", "photoguard:0.1", "noise:0.1")
    arms = [Arm.parse(text) for text in texts]
    ranks = {arm.key: {0: torch.tensor([9, 1])} for arm in arms}
    ranks["glaze-0.1"] = ranks["velatura-0.1"] = {0: torch.tensor([9, 9])}
    rows = {(r.cloak, r.metric): r.value for r in compared(arms, ranks, "ada", "full") if r.metric.endswith("top3")}
    fast = {metric: value for (cloak, metric), value in rows.items() if cloak == "velatura at fast"}
    wanted = {"velatura": -0.5, "glaze": 0.0, "photoguard": 0.0, "noise": 0.0}
    assert fast == {f"gain_over_{method}_top3": value for method, value in wanted.items()}
    assert rows["velatura", "gain_over_glaze_top3"] == 0.0
    assert ("velatura", "gain_over_velatura_top3") not in rows


def test_pictures_protected_elsewhere_have_the_figures_that_need_no_target() -> None:
    rows = cloak_rows(
        Arm.parse("mine:0.1=there"), "ada", [{"lpips": 0.05, "psnr_db": 30.0}, {"lpips": 0.12, "psnr_db": 30.5}]
    )
    assert {(r.metric, round(r.value, 3)) for r in rows} == {("lpips", 0.085), ("psnr_db", 30.25), ("lpips_max", 0.12)}
    assert cloak_rows(Arm.parse("mine=there"), "ada", []) == []


def test_a_known_artist_keeps_the_judges_name() -> None:
    assert known_as("Kate  Greenaway", ("rembrandt", "kate-greenaway")) == "kate-greenaway"
    assert known_as("ada", ("rembrandt",)) == "ada"


def test_the_plan_of_several_artists_wants_a_folder_each(tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    for arguments, says in (
        ([tmp_path / "ada"], "the folders of two artists or more"),
        ([tmp_path / "ada", tmp_path / "ada", "--artist", "x"], "expected no --artist"),
        ([tmp_path / "ada", tmp_path / "ada"], "folders of different names"),
    ):
        done = CliRunner().invoke(evaluate_command, [*map(str, arguments), "-o", str(tmp_path), "--plan", "known"])
        assert says in str(done.exception)
    done = CliRunner().invoke(evaluate_command, ["--plans"])
    assert done.exit_code == 0
    assert all(name in done.output for name in named_plans.PLANS)


def test_countermeasures_are_part_of_an_arm() -> None:
    arm = Arm.parse("velatura:0.1@0.5 then jpeg quality=50")
    assert (arm.method, arm.budget, arm.share, arm.then) == ("velatura", 0.1, 0.5, "jpeg quality=50")
    assert countermeasure(arm.then) == ("jpeg", {"quality": "50"})
    assert arm.key == "velatura-0.1@0.5-then-jpeg-quality=50"
    assert Arm.parse("clean then blur").kind == "clean"
    arm = Arm.parse("velatura:0.1@0.5  dropping trained then noise  sigma=0.1 denoised nlm strength=7")
    assert (arm.dropping, arm.then, arm.denoised) == ("trained", "noise sigma=0.1", "nlm strength=7")
    assert arm.key == "velatura-0.1@0.5-dropping-trained-then-noise-sigma=0.1-denoised-nlm-strength=7"
    assert arm.countermeasures == "dropping trained, noise sigma=0.1, denoised nlm strength=7"
    assert Arm.parse("clean denoised nlm").trained_on == Arm("clean")
    for text, says in (
        ("clean dropping magic", "detector 'magic': expected one of reconstruction"),
        ("clean denoised magic", "expected one of noise, jpeg"),
        ("real denoised nlm", "trains on no pictures"),
        ("noise:0.1 then magic", "expected one of noise, jpeg"),
        ("noise:0.1 then jpeg quality", "KEY=VALUE"),
        ("noise:0.1 then jpeg size=3", "expected one of quality"),
        ("base then jpeg", "trains on no pictures"),
    ):
        with pytest.raises(InputError, match=says):
            Arm.parse(text)
