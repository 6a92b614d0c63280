"""Flags: each is raised by what it is about, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from velatura.reports.checks import doubts, flags
from velatura.reports.result import Row

CLOAK = {"arm": "cloaked", "cloak": "velatura", "budget": 0.1}


def row(metric: str, value: float, **more: Any) -> Row:
    return Row(metric, value, 96, artist="ada", **{"recipe": "full", **more})


GOOD = [
    row("style_top1", 0.9, arm="clean", seed=0), row("style_top3", 0.95, arm="clean", seed=0),
    row("style_top1", 0.05, arm="base", seed=0), row("style_top3", 0.1, arm="base", seed=0),
    row("style_top1", 0.9, arm="real", recipe=None), row("style_top3", 0.95, arm="real", recipe=None),
    row("style_shift_top3", 0.1, arm="noise", budget=0.1, seed=0),
    row("style_shift_top3", 0.7, **CLOAK, seed=0), row("style_shift_top3", 0.75, **CLOAK, seed=1),
    row("gain_over_noise_top3", 0.6, low=0.5, high=0.7, **CLOAK),
    row("lpips_max", 0.0995, recipe=None, **CLOAK),
]  # fmt: skip


def changed(metric: str, value: float | None = None, /, *, where: dict[str, Any], **changes: Any) -> list[Row]:
    """GOOD with other values of one metric in one arm; without any value or change: without these rows."""
    found = []
    for one in GOOD:
        if one.metric != metric or any(getattr(one, k) != v for k, v in where.items()):
            found.append(one)
        elif value is not None or changes:
            found.append(replace(one, **({} if value is None else {"value": value}), **changes))
    assert found != GOOD
    return found


def test_a_sound_result_is_not_flagged() -> None:
    assert doubts(GOOD) == []
    assert doubts([]) == []


@pytest.mark.parametrize(
    ("rows", "says", "cloak"),
    [
        (changed("style_top1", 0.69, where={"arm": "clean"}), "too weak on clean art", None),
        (changed("style_top3", 0.84, where={"arm": "clean"}), "too weak on clean art", None),
        (changed("style_top1", 0.4, where={"arm": "base"}), "the base model paints in this style already", None),
        (changed("gain_over_noise_top3", where={}, low=-0.01), "no better than noise of equal LPIPS", "velatura"),
        (changed("gain_over_noise_top3", where={}), "stands without noise of equal LPIPS", "velatura"),
        (changed("lpips_max", 0.1001, where={}), "budget exceeded in a saved file", "velatura"),
        (changed("style_shift_top3", 0.4, where={"seed": 1}), "seeds disagree by 30%", "velatura"),
    ],
)
def test_each_defect_has_its_flag(rows: list[Row], says: str, cloak: str | None) -> None:
    found = doubts(rows)
    assert [says in doubt.text for doubt in found] == [True]
    assert found[0].cloak == cloak
    assert found[0].budget == (0.1 if cloak else None)


def test_no_clean_arm_is_no_evidence() -> None:
    rows = [r for r in GOOD if r.arm != "clean"]
    assert ["no clean arm" in doubt.text for doubt in doubts(rows)] == [True]


def test_controls_that_disagree_concern_every_cloak() -> None:
    rows = [*GOOD, row("style_shift_top3", 0.5, arm="noise", budget=0.1, seed=1)]
    assert [(d.cloak, "noise at 0.1: seeds disagree" in d.text) for d in doubts(rows)] == [(None, True)]


def test_budgets_shares_and_recipes_are_not_taken_for_seeds() -> None:
    shares = [row("style_shift_top3", v, arm="noise", cloak=c, budget=0.1, seed=0) for v, c in ((0.5, "noise@0.5"),)]
    recipes = [
        replace(r, recipe="lora", value=r.value * (0.3 if r.metric.startswith("style_shift") else 1)) for r in GOOD
    ]
    assert doubts([*GOOD, *shares, *recipes]) == []
    weak = [replace(r, recipe="lora", value=0.5 if r.arm == "clean" else r.value) for r in GOOD]
    assert [d.text.startswith("lora: the mimic is too weak") for d in doubts([*GOOD, *weak])] == [True]


def test_a_countermeasure_that_the_cloak_was_optimised_through_is_named() -> None:
    after = [replace(r, countermeasure="jpeg") if r.arm == "cloaked" else r for r in GOOD]
    assert doubts(after) == doubts(after, {"velatura": ["blur"]}) == doubts(after, {"glaze": ["jpeg"]}) == []
    texts = {d.text for d in doubts(after, {"velatura": ["jpeg"]})}
    assert texts == {"velatura at 0.1: jpeg was seen while the cloak was optimised; others may undo it"}
    named = [replace(r, countermeasure="dropping trained, jpeg quality=50", cloak="velatura on mini@0.5") for r in after
             if r.arm == "cloaked"]  # fmt: skip
    assert any("jpeg quality=50 was seen" in d.text for d in doubts(named, {"velatura": ["jpeg"]}))
    named = [replace(r, cloak="velatura at fast towards bosch") for r in after if r.arm == "cloaked"]
    assert any("jpeg was seen" in d.text for d in doubts(named, {"velatura": ["jpeg"]}))


def test_a_doubt_knows_its_recipe_and_countermeasure() -> None:
    """Old results hold the same flags in fewer words; what is in doubt of one recipe is not of another."""
    weak = [replace(r, countermeasure="jpeg quality=75", low=-0.1, high=0.1)
            for r in GOOD if r.metric == "gain_over_noise_top3"]  # fmt: skip
    lora = [replace(r, recipe="lora") for r in GOOD if r.recipe]
    (doubt,) = doubts([*GOOD, *lora, *weak])
    assert doubt.text == "velatura at 0.1 after jpeg quality=75, full: no better than noise of equal LPIPS (top 3)"
    assert doubt.formerly == "velatura at 0.1, full: no better than noise of equal LPIPS (top 3)"
    assert doubt.concerns("velatura", 0.1, "full", "jpeg quality=75")
    others = [
        ("velatura", 0.1, "full", None),
        ("velatura", 0.1, "lora", "jpeg quality=75"),
        ("glaze", 0.1, "full", None),
    ]
    assert not any(doubt.concerns(*other) for other in others)
    seeds = [replace(r, recipe="lora", value=0.4 if r.seed else r.value) for r in GOOD if r.arm == "cloaked"]
    seeds += [r for r in lora if r.arm != "cloaked"]
    (doubt,) = doubts([*GOOD, *seeds])
    assert doubt.text.startswith("velatura at 0.1, lora: seeds disagree by 30%")
    assert doubt.formerly.startswith("velatura at 0.1: seeds disagree by 30%")


SOUND = {"budget": 0.1, "lpips": 0.05, "scale": 1.0, "flip": 0.078, "flip_budget": 0.08}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ""),
        ({"flip": 0.02, "lpips": 0.099}, ""),
        ({"flip": 0.9, "flip_budget": None, "lpips": 0.099}, ""),
        ({"lpips": 0.101}, "budget exceeded in the saved file: LPIPS 0.101 > 0.1"),
        ({"flip": 0.09}, "more visible than asked for in the saved file: ꟻLIP 0.090 > 0.080"),
        ({"flip": 0.02}, "less of the change is used than the intensity allows"),
        ({"scale": 0.4}, "more than halved"),
    ],
)
def test_flags_of_one_picture(changes: dict[str, float | None], says: str) -> None:
    found = flags(**(SOUND | changes))  # type: ignore[arg-type]
    assert len(found) == bool(says)
    assert says in "".join(found)
