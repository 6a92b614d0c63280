"""A result is a JSON file: who ran what, with which weights, and one row a figure."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from velatura.errors import InputError


@dataclass(frozen=True)
class Row:
    """One figure with its 95 % interval; a field that does not apply is None."""

    metric: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    artist: str | None = None
    arm: str | None = None
    cloak: str | None = None
    budget: float | None = None
    countermeasure: str | None = None
    recipe: str | None = None
    seed: int | None = None


@dataclass
class Result:
    """An experiment's settings and rows, ready to be written."""

    experiment: str
    version: str
    seed: int | None
    device: str
    settings: Mapping[str, Any]
    weights: Mapping[str, str]
    rows: Sequence[Row] = ()
    flags: Sequence[str] = ()
    command: str = field(default_factory=lambda: shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    machine: str = field(default_factory=lambda: f"{platform.machine()}, {os.cpu_count()} cores")

    def save(self, path: Path) -> None:
        write(to_json(asdict(self)), path)


def method(cloak: str | None) -> str:
    """Of a row's cloak, without what its arm says of effort, models, T and share: ``velatura at fast`` is velatura."""
    return re.split("[ @]", cloak or "")[0]


def write(text: str, path: Path) -> None:
    """A text file, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not images.save, which would load libvips for a report.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(temporary, path)
    except BaseException:  # a full disk, Ctrl-C
        temporary.unlink(missing_ok=True)
        raise


def load(path: Path) -> Result:
    """Read a result file; a row without a value has NaN."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        empty = {"value": math.nan, "n": 0}
        rows = [Row(**empty | {key: v for key, v in row.items() if v is not None}) for row in tree["rows"]]
        wanted = ("experiment", "version", "seed", "device", "settings", "weights", "flags")
        found = {name: tree[name] for name in wanted}
        found |= {name: tree[name] for name in ("command", "machine") if name in tree}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected a result of velatura's (result.json), got {error!r}") from None
    return Result(rows=rows, **found)


def to_json(tree: object, *, ascii: bool = False) -> str:
    """JSON for people: indented, short floats, no NaN (which no other JSON reader accepts).

    Names that are no UTF-8 are escaped as JSON has it. ``ascii``: for a pipe, which may have any encoding.
    """
    text = json.dumps(_rounded(tree), indent=1, ensure_ascii=ascii, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()


def _rounded(tree: Any) -> Any:
    if isinstance(tree, float):
        return float(f"{tree:.5g}") if tree == tree and abs(tree) != float("inf") else None
    if isinstance(tree, Mapping):
        return {str(k): _rounded(v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_rounded(v) for v in tree]
    return tree
