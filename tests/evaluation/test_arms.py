"""Arms: what they are called, and that they differ in their aim only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from velatura.errors import InputError
from velatura.evaluation import METHODS, Arm, plans
from velatura.evaluation.arms import protect
from velatura.evaluation.figures import compared, warnings
from velatura.protect import Protector, Settings
from velatura.reports.result import Row


@pytest.mark.parametrize(
    ("text", "key", "kind"),
    [
        ("clean", "clean", "clean"),
        ("noise:0.05", "noise-0.05", "noise"),
        ("velatura:0.1@0.5", "velatura-0.1@0.5", "cloaked"),
        ("glaze2=there", "glaze2", "cloaked"),
        ("shuffled:0.2", "shuffled-0.2", "shuffled"),
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
    ],
)
def test_wrong_arms_are_one_line(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Arm.parse(text)


def test_plans_have_their_controls() -> None:
    for plan in plans.PLANS:
        arms = plans.arms(plan)
        assert {"base", "real", "clean"} <= {arm.method for arm in arms}
        noise = {(arm.budget, arm.share) for arm in arms if arm.method == "noise"}
        assert all((arm.budget, arm.share) in noise for arm in arms if arm.kind == "cloaked")
    with pytest.raises(InputError, match="expected one of headline"):
        plans.arms("none")


def test_every_method_uses_the_same_budget_and_only_cloaks_have_an_aim(make_scene: Callable[..., Tensor]) -> None:
    pictures = [make_scene(64, 72, seed) for seed in range(3)]
    mean: dict[str, dict[str, float]] = {}
    for method in METHODS:
        protector = Protector(Settings(models=("mini",), effort="fast", resolutions=(64,)))
        made = protect(Arm(method, 0.1), protector, pictures, 0)
        assert len(made.files) == 3
        least = 0.003 if method == "velatura" else 0.08  # its other bound, on colours, may be reached first
        assert all(least < f["lpips"] <= 0.1 + 1e-6 for f in made.figures), (method, made.figures)
        mean[method] = {key: sum(f[key] for f in made.figures) / 3 for key in made.figures[0]}
    for method, most in (("glaze", 0.6), ("velatura", 0.85)):
        assert mean[method]["latent_remaining"] < most
    for method in ("noise", "shuffled"):
        assert mean[method]["latent_remaining"] > 0.85
    assert mean["velatura"]["colour_cast"] < 0.6 * mean["glaze"]["colour_cast"]


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


def test_figures_that_prove_nothing_are_flagged() -> None:
    def row(metric: str, value: float, arm: str, **more: object) -> Row:
        return Row(metric, value, 96, arm=arm, artist="ada", **more)  # type: ignore[arg-type]

    arms = [Arm("clean"), Arm("noise", 0.1), Arm("velatura", 0.1)]
    good = [
        row("style_top1", 0.9, "clean"), row("style_top3", 0.95, "clean"), row("style_top1", 0.05, "base"),
        row("gain_over_noise_top3", 0.5, "cloaked", low=0.3, cloak="velatura", budget=0.1),
        row("lpips_max", 0.0995, "cloaked", cloak="velatura", budget=0.1),
    ]  # fmt: skip
    assert warnings(arms, good) == []
    weak = [row("style_top1", 0.3, "clean"), row("style_top3", 0.5, "clean"), row("style_top1", 0.4, "base")]
    assert [flag.split(" (")[0] for flag in warnings(arms, weak)] == [
        "the mimic is too weak on clean art to judge a cloak by",
        "the base model paints in this style already",
    ]
    bad = [
        *good[:3],
        row("gain_over_noise_top3", 0.02, "cloaked", low=-0.1, cloak="velatura", budget=0.1),
        row("lpips_max", 0.13, "cloaked", cloak="velatura", budget=0.1),
        *(
            row("style_shift_top3", v, "cloaked", cloak="velatura", budget=0.1, seed=i)
            for i, v in enumerate((0.2, 0.9))
        ),
    ]
    said = " ".join(warnings(arms, bad))
    for words in ("no better than noise", "budget exceeded", "seeds disagree"):
        assert words in said
    assert "no clean arm" in " ".join(warnings([Arm("velatura", 0.1)], []))
    assert "without noise" in " ".join(warnings([Arm("clean"), Arm("velatura", 0.1)], good))
