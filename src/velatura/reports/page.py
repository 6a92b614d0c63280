"""A report for people: one HTML file that needs nothing beside it, or the same in Markdown."""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velatura.errors import MissingExtra
from velatura.reports import pictures, plots, prediction, tables
from velatura.reports.result import Result
from velatura.reports.summary import FRICTION, Summary, summarise
from velatura.reports.tables import Cell, cells

TEMPLATE = Path(__file__).parent / "templates" / "report.html"
HIDDEN = (
    "training",
    "subjects",
    "arms",
    "recipe",
    "scores",
)  # settings with a place of their own, or of no use to a reader


@dataclass(frozen=True)
class Run:
    """One result: its name in the page, and the folder of its pictures if it lies in an evaluation's output."""

    name: str
    result: Result
    folder: Path | None = None


def html(runs: Sequence[Run], *, title: str = "Velatura: what a cloak does to a mimic", art: bool = False) -> str:
    """The page. ``art``: the artist's own pictures in it too, which makes it a page to keep to oneself."""
    plots.require_matplotlib()
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtra("a page", "lab")
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    found = prediction.predictions([(run.name, cells(run.result.rows)) for run in runs])
    shown = [p for p in found if p.slow == "style_shift_top3"]
    page: str = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        friction=FRICTION,
        runs=[_run(run, art) for run in runs],
        predictions=found,
        scatters=[(_image(plots.prediction(p)), f"{p.fast} against {p.slow}") for p in shown],
        columns=tables.COLUMNS,
    )
    return page


def markdown(runs: Sequence[Run]) -> str:
    """Summary, flags and tables of every run, and whether fast figures predict slow ones."""
    parts = []
    for run in runs:
        summary = summarise(run.result)
        parts.append(f"## {run.name}")
        if summary.flags:
            parts.append("**Flags**\n\n" + "\n".join(f"- {flag}" for flag in summary.flags))
        parts += [summary.paragraph, tables.markdown(cells(run.result.rows)), f"`{run.result.command}`"]
    if found := prediction.predictions([(run.name, cells(run.result.rows)) for run in runs]):
        parts += ["## Do fast figures predict slow ones?", prediction.markdown(found)]
    return "\n\n".join(parts) + "\n"


def _run(run: Run, art: bool) -> dict[str, Any]:
    summary: Summary = summarise(run.result)
    found = cells(run.result.rows)
    settings = {k: v for k, v in run.result.settings.items() if k not in HIDDEN}
    return {
        "name": run.name,
        "result": run.result,
        "summary": summary,
        "tables": [_table(heading, members) for heading, members in tables.tables(found)],
        "curves": _image(plots.roc(curves)) if (curves := run.result.settings.get("scores")) else None,
        "sheets": pictures.sheets(run.folder, art=art) if run.folder is not None else [],
        "settings": {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in settings.items()},
        "recipes": json.dumps(run.result.settings.get("recipe", {}), ensure_ascii=False, indent=1),
        "training": run.result.settings.get("training", []),
    }


def _table(heading: str, members: Sequence[Cell]) -> dict[str, Any]:
    columns = tables.shown(members)
    rows = []
    for cell in members:
        entries = [tables.words(m, cell.figures[m]) if m in cell.figures else ("", "") for m, _, _ in columns]
        rows.append(
            {
                "cell": cell,
                "name": tables.row_name(cell),
                "budget": "" if cell.budget is None else f"{cell.budget:g}",
                "entries": entries,
            }
        )
    drawn = (
        (plots.shifts(members), "style shift of every arm"),
        (plots.by_budget(members), "style shift over the budget"),
        (plots.by_visibility(members), "style shift over what shows: high and to the left is better"),
        (plots.by_share(members), "style shift over the share of protected pictures"),
    )
    images = [(_image(svg), says) for svg, says in drawn if svg is not None]
    return {"heading": heading, "columns": columns, "rows": rows, "images": images}


def _image(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
