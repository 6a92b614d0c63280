"""From judged pictures to rows with intervals, and what stands in the way of believing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velatura import judges
from velatura.evaluation.arms import Arm
from velatura.reports.result import Row
from velatura.reports.statistics import mean_interval, wilson

CLOAK_METRICS = ("lpips", "colour_cast", "latent_remaining", "decoded_shift", "psnr_db", "delta_e_mean")
# The bars of the mimicry experiment: below them an attack is too weak to judge a cloak by.
CLEAN_TOP1, CLEAN_TOP3, BASE_TOP1 = 0.70, 0.85, 0.15


def judged(
    arm: Arm,
    made: Sequence[Path],
    judge: judges.StyleJudge,
    artist: str,
    training: Sequence[Path] | None,
    real: Sequence[Path],
    seed: int | None,
    recipe: str | None,
) -> tuple[list[Row], Tensor]:
    """Rows of one arm and seed, and the artist's rank for each picture, ``(n,)``.

    ``style_top1|top3``: share placed in the artist's style; ``style_shift_top1|top3``: the rest. With ``training``,
    also the share of copies, of style shifts among those that are none, and the Fréchet distance to real pictures
    beside that of real pictures to each other (``frechet_real``).
    """
    ranks = judge.ranks(list(made), artist)
    about: dict[str, Any] = {
        "artist": artist, "arm": arm.kind, "cloak": _cloak(arm), "budget": arm.budget, "recipe": recipe, "seed": seed,
    }  # fmt: skip
    n = len(ranks)
    counts = {"style_top1": (ranks == 1).sum(), "style_top3": (ranks <= 3).sum()}
    counts |= {"style_shift_top1": (ranks > 1).sum(), "style_shift_top3": (ranks > 3).sum()}
    rows = [_share(metric, int(count), n, about) for metric, count in counts.items()]
    if training is not None:
        copies = judges.copy_rate(list(made), list(training))
        rows.append(_share("copy_rate", copies.copied, n, about))
        fresh = ranks[copies.distances >= copies.threshold]
        if len(fresh):
            rows.append(_share("style_shift_top3_no_copies", int((fresh > 3).sum()), len(fresh), about))
        if len(real) >= 16 and n >= 8:
            found = judges.fidelity(list(made), list(real))
            rows.append(Row("frechet", found.distance, found.n, **about))
            rows.append(Row("frechet_real", found.bias, found.n, **about))
    return rows, ranks


def cloak_rows(arm: Arm, artist: str, figures: Sequence[Mapping[str, float]]) -> list[Row]:
    """Means over the protected pictures, of their files."""
    if not figures:
        return []
    about: dict[str, Any] = {"artist": artist, "arm": arm.kind, "cloak": _cloak(arm), "budget": arm.budget}
    rows = []
    for metric in CLOAK_METRICS:
        mean, low, high = mean_interval([f[metric] for f in figures])
        rows.append(Row(metric, mean, len(figures), low, high, **about))
    rows.append(Row("lpips_max", max(f["lpips"] for f in figures), len(figures), **about))
    return rows


def compared(arms: Sequence[Arm], ranks: Mapping[str, Mapping[int, Tensor]], artist: str, recipe: str) -> list[Row]:
    """Gain of each arm over noise of the same budget, picture by picture (same prompts, same seeds).

    ``gain_over_noise_top1|top3``: difference of style shift, with a t-interval over the pairs of all seeds.
    """
    rows = []
    for arm in arms:
        control = next(
            (a for a in arms if a.method == "noise" and a.budget == arm.budget and a.share == arm.share), None
        )
        if control is None or arm.kind != "cloaked":
            continue
        pairs = [(ranks[arm.key][s], ranks[control.key][s]) for s in ranks[arm.key] if s in ranks[control.key]]
        ours, noise = (torch.cat(part) for part in zip(*pairs, strict=True))
        for top in (1, 3):
            gain = ((ours > top).float() - (noise > top).float()).tolist()
            mean, low, high = mean_interval(gain)
            rows.append(
                Row(f"gain_over_noise_top{top}", mean, len(gain), low, high, artist, arm.kind, _cloak(arm), arm.budget,
                    recipe=recipe)
            )  # fmt: skip
    return rows


def warnings(arms: Sequence[Arm], rows: Sequence[Row]) -> list[str]:
    """What forbids to praise a cloak for these figures (HOUSE.md, contract 6: flags)."""
    found = []

    def values(arm: str, metric: str) -> list[float]:
        return [r.value for r in rows if (r.arm, r.metric) == (arm, metric)]

    if any(v < CLEAN_TOP1 for v in values("clean", "style_top1")) or any(
        v < CLEAN_TOP3 for v in values("clean", "style_top3")
    ):
        found.append(
            "the mimic is too weak on clean art to judge a cloak by "
            f"(bars: {CLEAN_TOP1:.0%} top 1, {CLEAN_TOP3:.0%} top 3)"
        )
    if any(v > BASE_TOP1 for v in values("base", "style_top1")):
        found.append(f"the base model paints in this style already (bar: {BASE_TOP1:.0%} top 1)")
    for row in rows:
        if row.metric == "lpips_max" and row.budget is not None and row.value > row.budget:
            found.append(f"{row.cloak} at {row.budget:g}: budget exceeded in a saved file, LPIPS {row.value:.3f}")
        if row.metric == "gain_over_noise_top3" and row.low is not None and row.low <= 0:
            found.append(f"{row.cloak} at {row.budget:g}: no better than noise of equal LPIPS (top 3)")
    if any(arm.kind == "cloaked" for arm in arms) and not values("clean", "style_top1"):
        found.append("no clean arm: nothing says that the mimic works at all")
    if any(arm.kind == "cloaked" and arm.budget not in {a.budget for a in arms if a.method == "noise"} for arm in arms):
        found.append("a cloak stands without noise of equal LPIPS beside it")
    for arm in arms:
        shifts = [
            r.value
            for r in rows
            if r.metric == "style_shift_top3" and (r.arm, r.cloak, r.budget) == (arm.kind, _cloak(arm), arm.budget)
        ]
        if len(shifts) > 1 and max(shifts) - min(shifts) > 0.2:
            found.append(f"{arm.key}: seeds disagree by {max(shifts) - min(shifts):.0%}")
    return found


def _cloak(arm: Arm) -> str | None:
    return arm.method + ("" if arm.share == 1 else f"@{arm.share:g}") if arm.kind == "cloaked" else None


def _share(metric: str, count: int, n: int, about: Mapping[str, Any]) -> Row:
    low, high = wilson(count, n)
    return Row(metric, count / n, n, low=low, high=high, **about)
