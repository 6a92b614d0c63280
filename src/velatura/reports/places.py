"""Where a picture's results go, and what stands there already. No ML: the command line and the jobs share it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

KINDS = ("report.json", "sheet.png", "target.png")
LONGEST = 255 - len(".report.json")  # of a NAME with room for these; 255 are the most that file systems take


@dataclass(frozen=True)
class Task:
    """One picture, where it goes, and what its report and sheet beside it are called."""

    source: Path
    output: Path
    name: str

    def beside(self, kind: str) -> Path:
        """NAME.report.json, NAME.sheet.png, NAME.target.png."""
        return beside(self.output, self.name, kind)

    @property
    def source_id(self) -> str:
        """Tells sources of one name apart without telling a reader of the report where they lie."""
        return sha256(str(self.source.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def beside(output: Path, name: str, kind: str) -> Path:
    """The file of ``kind`` beside an output; a NAME too long for it is cut, and told from others by a digest."""
    if _length(name) > LONGEST:
        digest = sha256(os.fsencode(name)).hexdigest()[:8]
        while _length(name) > LONGEST - 9:
            name = name[:-1]
        name = f"{name}-{digest}"
    return output.with_name(f"{name}.{kind}")


def _length(name: str) -> int:
    """As file systems count: bytes, on Windows UTF-16."""
    return len(name.encode("utf-16-le", "surrogatepass")) // 2 if os.name == "nt" else len(os.fsencode(name))


def report_at(path: Path) -> dict[str, Any] | None:
    """A report of ours, or None."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return tree if isinstance(tree, dict) and "velatura" in tree and "output_sha256" in tree else None


@dataclass(frozen=True)
class Earlier:
    """What stands at a task's places."""

    report: dict[str, Any] | None  # of a finished output
    foreign: Path | None  # something that we did not write
    digest: str | None  # of the output


def earlier(task: Task) -> Earlier:
    """Look at the output, its report and its side files.

    The report is written first and names both the new file and the one that it replaces, so that a run killed in
    between is recognised as ours.
    """
    report = report_at(task.beside(KINDS[0]))
    places = [task.output, *map(task.beside, KINDS)]
    if report is None:
        return Earlier(None, next((path for path in places if path.exists()), None), None)
    if not task.output.exists():
        return Earlier(None, None, None)
    digest = sha256(task.output.read_bytes()).hexdigest()
    ours = digest in (report["output_sha256"], report.get("replaces_sha256"))
    same = ours and not task.output.samefile(task.source)
    finished = report if same and digest == report["output_sha256"] else None
    return Earlier(finished, None if same else task.output, digest)
