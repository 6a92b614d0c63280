"""What a long run has so far, in a folder beside its result, so that a stopped one continues."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from velatura.errors import InputError
from velatura.images import save
from velatura.reports.result import Row

CELLS = "cells.json"
Cell = tuple[list[Row], list[float]]


class Checkpoint:
    """Cells (rows, and a figure a picture) and files by name; without a folder nothing is kept.

    ``mark`` stands for everything that the cells depend on; a folder of another one is refused.
    """

    def __init__(self, folder: Path | None, mark: str) -> None:
        self.folder, self.mark = folder, mark
        self.cells: dict[str, Cell] = {}
        if folder is None or not (folder / CELLS).exists():
            return
        tree = json.loads((folder / CELLS).read_text(encoding="utf-8"))
        if tree["mark"] != mark:
            raise InputError(
                f"{folder} is left of a run with other pictures or settings: delete it, or use another name"
            )
        self.cells = {key: ([Row(**row) for row in rows], values) for key, (rows, values) in tree["cells"].items()}

    def add(self, key: str, cell: Cell) -> None:
        self.cells[key] = cell
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            cells = {key: ([asdict(row) for row in rows], values) for key, (rows, values) in self.cells.items()}
            save(json.dumps({"mark": self.mark, "cells": cells}).encode(), self.folder / CELLS)

    def files(self, name: str, count: int) -> list[bytes] | None:
        """The files of that name, if all are there."""
        paths = self._paths(name, count)
        return [path.read_bytes() for path in paths] if paths and all(path.exists() for path in paths) else None

    def add_files(self, name: str, files: Sequence[bytes]) -> None:
        for path, data in zip(self._paths(name, len(files)), files, strict=False):
            path.parent.mkdir(parents=True, exist_ok=True)
            save(data, path)
        self.add("", ([], []))  # so that the mark stands beside them

    def drop(self) -> None:
        """The result is written: nothing of this is needed any more."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self, name: str, count: int) -> list[Path]:
        return [] if self.folder is None else [self.folder / f"{name}-{i:03}.png" for i in range(count)]


def mark_of(tree: Any, pictures: Sequence[Tensor]) -> str:
    """The mark of settings and pictures."""
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode())
    for picture in pictures:
        digest.update(picture.cpu().numpy().tobytes())
    return digest.hexdigest()
