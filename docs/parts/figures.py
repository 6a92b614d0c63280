"""Results, and how their figures are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from velatura import weights
from velatura.protection import EFFORTS
from velatura.reports.result import Result, load, method

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


def penalty(tree: dict[str, Any]) -> str:
    """A sentence where a benchmark's cloaks are not optimised as those that ship."""
    if tree["settings"].get("gamma_start") == EFFORTS["default"].gamma_start:
        return ""
    return " **With [the penalty on colours](#the-penalty-on-colours-and-mimics) of an earlier day, γ from 0.11.**"


PRODUCT = ("velatura", "banded", "scattered")


def earlier(named: Mapping[str, Result]) -> str:
    """A sentence on results, by name, whose cloaks of Velatura are not made as those that ship."""
    ours = {
        name: found for name, found in named.items()
        if found.settings.get("effort") != "paper"
        and any(method(row.cloak) in PRODUCT for row in found.rows)
    }  # fmt: skip
    nothing = [name for name, found in ours.items() if "instant" not in found.weights]
    light = [name for name, found in ours.items() if not _heavy_at_first(found)]
    said = []
    if nothing:
        said.append(f"began from nothing{_which(nothing, named)}; those of today begin from the instant one")
    if light and light == nothing:
        said[0] += " and get further within their bound on colours"
    elif light:
        said.append(f"got less far within their bound on colours than those of today{_which(light, named)}")
    return f"**Velatura's cloaks {'. They '.join(said)}.**" if said else ""


def _heavy_at_first(found: Result) -> bool:
    made = found.settings.get("methods", {})
    return any(value.get("gamma_start") for name, value in made.items() if method(name) in PRODUCT)


def _which(some: Sequence[str], named: Mapping[str, Result]) -> str:
    if len(named) == 1:
        return ""
    others = [name for name in named if name not in some]
    if not others:
        return " in all of these"
    return f" in all but {', '.join(others)}" if len(others) < len(some) else f" in {', '.join(some)}"


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
