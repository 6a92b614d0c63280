"""Every cloak beside the others: what mimics do, and what the mimic's model sees."""

from __future__ import annotations

import hashlib

from velatura.reports import plots, tables
from velatura.reports.result import Row

from .figures import ROOT, interval, runs

MARGIN = 0.05  # of style shift, top 3; it and the aim below are those of the task that asked for the plan


def source(name: str) -> str:
    """What a plot was drawn from, as a comment for its file: other versions of matplotlib draw other bytes."""
    digest = hashlib.sha256((ROOT / f"results/evaluation/{name}.json").read_bytes()).hexdigest()
    return f"<!-- drawn by docs/build.py from {name}.json, sha256 {digest} -->\n"


def drawn() -> dict[str, str]:
    """SVG by the names of results: what mimics do over what shows."""
    found = {name: plots.by_visibility(tables.cells(run.rows)) for name, run in runs("methods-*").items()}
    return {name: svg + source(name) for name, svg in found.items() if svg is not None}


def methods() -> str:
    """The plan's results, as far as it has been run, and what became of the aims."""
    parts: list[str] = []
    for name, found in sorted(runs("methods-*").items(), key=lambda item: -len(item[1].rows)):
        artist = found.settings["artist"]
        parts += [
            f"![Style shift of {artist}'s mimics over ΔE in flat places, a line a method](images/{name}.svg)",
            "",
            f"**{artist}** ([{name}](../results/evaluation/{name}.json), {found.device}, "
            f"{len(found.settings['seeds'])} mimic an arm)",
            "",
            "| LPIPS | cloak | style shift, top 1 | top 3 | Velatura's lead in top 3 | decoded shift | LPIPS as saved | ΔE, flat | colour cast, ΔE |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        cells = [cell for cell in tables.cells(found.rows) if cell.arm not in ("real", "base")]
        for cell in sorted(cells, key=lambda c: (c.budget is not None, -(c.budget or 0))):
            own = [r for r in found.rows if (r.arm, r.cloak, r.budget) == (cell.arm, cell.cloak, cell.budget)]
            budget = "" if cell.budget is None else f"{cell.budget:g}"
            figures = [_of(own, "style_shift_top1", ".0%"), _of(own, "style_shift_top3", ".0%")]
            ours = [r for r in found.rows if (r.cloak, r.budget) == ("velatura", cell.budget)]
            figures.append(_of(ours, f"gain_over_{cell.name}_top3", ".0%"))
            figures += [_of(own, "decoded_shift", ".2f"), _of(own, "lpips", ".3f", ends=False)]
            figures += [_of(own, metric, ".1f", ends=False) for metric in ("delta_e_flat", "colour_cast")]
            parts.append(f"| {budget} | {cell.name} | {' | '.join(figures)} |")
        parts += ["", *_aims(found.rows), "", "Flags: " + ("; ".join(found.flags) or "none") + ".", ""]
    return "\n".join(parts).strip() or "Not measured yet (results/evaluation/methods-ARTIST.json)."


def _of(rows: list[Row], metric: str, shape: str, *, ends: bool = True) -> str:
    """A figure with its interval where it has one, or nothing."""
    for row in rows:
        if row.metric == metric:
            return interval(vars(row), shape) if ends and row.low is not None else f"{row.value:{shape}}"
    return ""


def _aims(rows: list[Row]) -> list[str]:
    """What became of the aims, at each budget."""
    lines = []
    for budget in sorted({row.budget for row in rows if row.cloak == "velatura"} - {None}, reverse=True):
        at = [row for row in rows if row.budget == budget]
        shift = {row.cloak or row.arm: row.value for row in at if row.metric == "decoded_shift"}
        leads = {
            row.metric.removeprefix("gain_over_").removesuffix("_top3"): row
            for row in at
            if row.cloak == "velatura" and row.metric.startswith("gain_over_") and row.metric.endswith("_top3")
        }
        ahead = [f"{n} {'yes' if (leads[n].low or 0) > 0 else 'no'}" for n in ("noise", "shuffled") if n in leads]
        said = {"yes": [], "no": [], "open": []}
        for name, row in leads.items():
            low, high = row.low or 0, row.high or 0
            said["yes" if low > -MARGIN else "no" if high < -MARGIN else "open"].append(name)
        worse = "; ".join(f"{word}: {', '.join(names)}" for word, names in said.items() if names)
        of = [
            f"{shift['velatura'] / shift[name] - 1:+.0%} on `{name}`"
            for name in ("glaze", "glaze-bounded")
            if name in shift
        ]
        there = f"decoded shift {', '.join(of)} (aim: +25 % on the published objective). " if of else ""
        lines.append(
            f"- At {budget:g}: {there}Ahead in style shift (95 %, paired): {', '.join(ahead)}. "
            f"Not inferior by {MARGIN:.0%} (95 %): {worse}."
        )
    return lines
