"""Results, and how their figures are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velatura import weights
from velatura.reports.result import Result, load

ROOT = Path(__file__).parents[2]


def result(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((ROOT / "results" / f"{name}.json").read_text())
    return tree


def runs(pattern: str) -> dict[str, Result]:
    """Results of experiments with mimics, by the names of their files."""
    return {path.stem: load(path) for path in sorted((ROOT / "results/evaluation").glob(f"{pattern}.json"))}


def optional(name: str) -> dict[str, Any] | None:
    return result(name) if (ROOT / f"results/{name}.json").exists() else None


def stale(tree: dict[str, Any]) -> str:
    """A sentence where a result is of other weights than those that ship."""
    if tree["weights"].get("mini") == weights.sha256(weights.embedded("mini")):
        return ""
    return " **Of an earlier autoencoder of the miniature, smaller and faster; not measured again yet.**"


PRODUCT = ("velatura", "banded", "scattered")


def cold(named: Mapping[str, Result]) -> str:
    """A sentence on results, by name, whose cloaks of Velatura began from nothing, as those that ship do no longer."""
    before = [
        name for name, found in named.items()
        if "instant" not in found.weights and found.settings.get("effort") != "paper"
        and any(re.split(" (?:at|towards) |@", row.cloak or "")[0] in PRODUCT for row in found.rows)
    ]  # fmt: skip
    if not before:
        return ""
    which = "" if len(named) == 1 else f" in {', '.join(before)}" if len(before) < len(named) else " in all of these"
    return f"**Velatura's cloaks{which} began from nothing; those of today begin from the instant one.**"


def flagged(tree: dict[str, Any]) -> str:
    """A sentence where a result was flagged when it was made."""
    return f" **Flag: {'; '.join(tree['flags'])}.**" if tree["flags"] else ""


def cell(rows: list[dict[str, Any]], metric: str, cloak: str, budget: float) -> str:
    row = next(r for r in rows if (r["metric"], r["cloak"], r["budget"]) == (metric, cloak, budget))
    return interval(row, ".2f")


def share(row: dict[str, Any]) -> str:
    return interval(row, ".0%")


def interval(row: dict[str, Any], shape: str) -> str:
    return f"{row['value']:{shape}} ({row['low']:{shape}}–{row['high']:{shape}})"
