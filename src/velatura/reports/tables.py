"""From rows to the brief's table, method × budget: seeds pooled, every share with its interval and n."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from velatura.reports.result import Row
from velatura.reports.statistics import wilson

ARMS = ("base", "real", "clean", "noise", "shuffled", "cloaked")
SHARES = (
    "style_top",
    "style_shift_",
    "view_shift_",
    "genre_shift",
    "copy_rate",
    "dropped_",
    "found",
    "false_alarms",
)  # how metrics begin that count pictures
OWN_JUDGE = "judge_"  # how metrics begin that a judge of the user's has given
FAST = "fast"  # how the recipe of figures begins for which no mimic was trained
# metric, heading, what it says
COLUMNS = (
    ("style_shift_top1", "style shift, top 1", "pictures whose style the judge does not name first"),
    ("style_shift_top3", "style shift, top 3", "pictures whose style is not among the judge's first three"),
    ("gain_over_noise_top3", "gain over noise, top 3", "the same, less that of noise of equal LPIPS"),
    (
        "decoded_shift",
        "decoded shift",
        "how far the model's view of the pictures moved to the target, 1 is all the way",
    ),
    ("decoded_shift_over_noise", "decoded shift over noise", "less that of noise of equal LPIPS, treated alike"),
    ("style_move", "style moved in the view", "how far the model's view has moved; 1: as two pictures by one artist"),
    ("view_change", "style changed in the view", "by AlexNet; 0 is the same, 1 nothing in common"),
    ("view_shift_top3", "judge on the view, top 3", "pictures that the judge takes for another's in the model's view"),
    ("lpips", "LPIPS", "how visible the change is, in the saved file"),
    ("colour_cast", "colour cast, ΔE", "how far colours drifted; about 1 is just visible"),
    ("lpips_to_clean", "LPIPS to the clean picture", "what is left of the art: a treatment that ruins it is no win"),
    ("psnr_to_clean", "PSNR to it, dB", "the same, pixel by pixel; 60 is no difference"),
    ("dropped_protected", "left out, protected", "protected pictures that the mimic's detector found"),
    ("dropped_clean", "left out, clean", "clean pictures that it took for protected ones"),
    ("auc", "ROC area", "how well a detector tells cloaked from clean pictures: 0.5 is guessing, 1 no mistake"),
    ("found", "cloaked ones found", "where its bar lets nine in ten clean pictures of other artists pass"),
    ("false_alarms", "false alarms", "clean pictures above that bar"),
    ("copy_rate", "copies", "pictures that repeat a training picture"),
)


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval (None: none is known), of ``n`` pictures; ``seeds``: the values of each mimic."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Cell:
    """All that is known of one arm, budget and recipe."""

    artist: str | None
    arm: str | None
    cloak: str | None
    budget: float | None
    recipe: str | None
    countermeasure: str | None
    figures: Mapping[str, Figure]

    @property
    def name(self) -> str:
        """As tables call it."""
        return self.cloak or self.arm or "all"

    @property
    def label(self) -> str:
        """As sentences call it: ``velatura at 0.1``."""
        after = f" after {self.countermeasure}" if self.countermeasure else ""
        return self.name + ("" if self.budget is None else f" at {self.budget:g}") + after


def cells(rows: Sequence[Row]) -> list[Cell]:
    """One cell an artist, arm, cloak, budget, countermeasure and recipe: controls first, then by budget.

    Rows without a recipe (what was measured on the protected pictures themselves) join every recipe of their arm.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.artist, row.arm, row.cloak, row.budget, row.countermeasure), []).append(row)
    found = []
    for (artist, arm, cloak, budget, countermeasure), members in groups.items():
        recipes: list[str | None] = list(dict.fromkeys(r.recipe for r in members if r.recipe is not None))
        for recipe in recipes or [None]:
            own = [r for r in members if r.recipe in (None, recipe)]
            figures = {m: _pooled([r for r in own if r.metric == m]) for m in dict.fromkeys(r.metric for r in own)}
            found.append(Cell(artist, arm, cloak, budget, recipe, countermeasure, figures))  # type: ignore[arg-type]
    return sorted(found, key=_place)


def tables(found: Sequence[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """A heading and its cells for every artist, recipe and countermeasure; what has no recipe stands in each.

    Of figures without mimics (:mod:`velatura.evaluation.robustness`) a table an arm, with a row a countermeasure.
    """
    if found and all((c.recipe or "").startswith(FAST) for c in found):
        for artist, arm in dict.fromkeys((c.artist, untreated(c)) for c in found):
            yield (
                " · ".join(w for w in (artist, arm) if w),
                [c for c in found if (c.artist, untreated(c)) == (artist, arm)],
            )
        return
    some = [c for c in found if c.recipe is not None] or found
    heads = list(dict.fromkeys((c.artist, c.recipe, c.countermeasure) for c in some))
    for artist, recipe, countermeasure in heads:
        words = [artist, recipe and f"mimic: {recipe}", countermeasure and f"after {countermeasure}"]
        same = [c for c in found if c.artist == artist and c.recipe in (None, recipe)]
        members = [c for c in same if c.countermeasure in (None, countermeasure)]
        yield " · ".join(w for w in words if w), members


def untreated(cell: Cell) -> str:
    """The cell's label without its countermeasure."""
    return replace(cell, countermeasure=None).label


def row_name(cell: Cell) -> str:
    """What a table calls a row: its arm, or, where all of a table are of one arm, its countermeasure."""
    if not (cell.recipe or "").startswith(FAST):
        return cell.name
    return f"{cell.countermeasure}{' (seen)' if str(cell.recipe).endswith('seen') else ''}"


def shown(found: Sequence[Cell]) -> list[tuple[str, str, str]]:
    """The columns that any of the cells has a figure for."""
    known = [column for column in COLUMNS if any(column[0] in cell.figures for cell in found)]
    own = dict.fromkeys(metric for cell in found for metric in cell.figures if metric.startswith(OWN_JUDGE))
    return known + [(metric, metric.removeprefix(OWN_JUDGE), "by a judge of your own") for metric in own]


def words(metric: str, figure: Figure) -> tuple[str, str]:
    """A figure as it is printed, and its interval, n and spread over seeds as small print."""
    percent = metric.startswith(SHARES) or metric.startswith("gain_over")

    def number(value: float) -> str:
        if percent:
            return f"{value:.0%}"
        return f"{value:.3f}" if metric.startswith("lpips") else f"{value:.2f}"

    small = []
    if figure.low is not None and figure.high is not None and not math.isnan(figure.low + figure.high):
        small.append(f"{number(figure.low)} to {number(figure.high)}")
    small.append(f"n\u00a0{figure.n}")
    if len(figure.seeds) > 1:
        small.append(f"{len(figure.seeds)} seeds: {number(min(figure.seeds))} to {number(max(figure.seeds))}")
    return number(figure.value), ", ".join(small)


def markdown(found: Sequence[Cell]) -> str:
    """The tables as Markdown."""
    parts = []
    for heading, members in tables(found):
        columns = shown(members)
        lines = [f"### {heading}", ""] if heading else []
        lines += ["| pictures | budget | " + " | ".join(title for _, title, _ in columns) + " |"]
        lines += ["|---" * (len(columns) + 2) + "|"]
        for cell in members:
            entries = []
            for metric, _, _ in columns:
                value, small = words(metric, cell.figures[metric]) if metric in cell.figures else ("", "")
                entries.append(f"{value} ({small})" if value else "")
            budget = "" if cell.budget is None else f"{cell.budget:g}"
            lines.append(f"| {row_name(cell)} | {budget} | " + " | ".join(entries) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


FIELDS = ("artist", "arm", "cloak", "budget", "recipe", "countermeasure")


def comma_separated(runs: Mapping[str, Sequence[Cell]]) -> str:
    """Every figure of every run (by name) as one line of CSV, seeds pooled."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", *FIELDS, "metric", "value", "low", "high", "n", "seeds", "lowest_seed", "highest_seed"])
    for run, found in runs.items():
        for cell in found:
            for metric, f in cell.figures.items():
                spread = [len(f.seeds), min(f.seeds), max(f.seeds)] if f.seeds else ["", "", ""]
                about = [getattr(cell, name) for name in FIELDS]
                writer.writerow([run, *about, metric, f.value, f.low, f.high, f.n, *spread])
    return out.getvalue()


def _pooled(rows: Sequence[Row]) -> Figure:
    """Rows of one metric that differ in their seed alone: shares are added up, other figures averaged."""
    seeds = tuple(r.value for r in rows if r.seed is not None)
    if len(rows) == 1:
        return Figure(rows[0].value, rows[0].n, rows[0].low, rows[0].high, seeds)
    n = sum(r.n for r in rows)
    if rows[0].metric.startswith(SHARES) and n:
        count = sum(round(r.value * r.n) for r in rows)
        return Figure(count / n, n, *wilson(count, n), seeds)
    return Figure(sum(r.value for r in rows) / len(rows), n, None, None, seeds)


def _place(cell: Cell) -> tuple[object, ...]:
    arm = ARMS.index(cell.arm) if cell.arm in ARMS else len(ARMS)
    controls = arm < ARMS.index("noise")
    texts = (cell.artist or "", cell.recipe or "", cell.countermeasure or "")
    return (*texts, arm if controls else len(ARMS), cell.budget or 0.0, arm, cell.name)
