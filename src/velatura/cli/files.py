"""Which files a command means, and where their results go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Task:
    """One picture, where it goes, and what its report and sheet beside it are called."""

    source: Path
    output: Path
    name: str

    def beside(self, kind: str) -> Path:
        """NAME.report.json, NAME.sheet.png, NAME.target.png."""
        return self.output.with_name(f"{self.name}.{kind}")


def tasks(files: Sequence[Path], folder: Path) -> list[Task]:
    """Tasks for files and, recursively, the pictures in folders, whose sub-folders are kept.

    Files that an earlier run left behind are no pictures to protect. Two sources never share an output: of a.png and
    a.jpg the second one's report is a.jpg.report.json, and a second a.png becomes a-2.png.
    """
    outputs: set[Path] = set()
    names: set[Path] = set()
    found: list[Task] = []
    for file in files:
        for source, relative in _expand(file, folder):
            output = folder / relative
            number = 2
            while output in outputs:
                output = folder / relative.with_name(f"{relative.stem}-{number}{relative.suffix}")
                number += 1
            name = output.name if output.with_suffix("") in names else output.stem
            outputs.add(output)
            names.add(output.with_suffix(""))
            found.append(Task(source, output, name))
    return found


def _expand(file: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    if not file.is_dir():
        yield file, Path(file.name)
        return
    for path in sorted(file.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(file).parts)
        if path.suffix.lower() not in SUFFIXES or hidden or not path.is_file():
            continue
        if path.resolve().is_relative_to(folder.resolve()) and file.resolve() != folder.resolve():
            continue
        if not path.name.endswith((".sheet.png", ".target.png")):
            yield path, path.relative_to(file)


@dataclass(frozen=True)
class Earlier:
    """What an earlier run left at a task's output."""

    fingerprint: str | None  # of the run that finished it; None where it is not finished
    foreign: bool  # something stands there that we did not write
    digest: str | None


def earlier(task: Task) -> Earlier:
    """Look at the output and its report. The report is written first and names both the new file and the one that it
    replaces, so that a run killed in between is recognised as ours."""
    if not task.output.exists():
        return Earlier(None, False, None)
    digest = sha256(task.output.read_bytes()).hexdigest()
    try:
        report = json.loads(task.beside("report.json").read_text(encoding="utf-8"))
        ours = digest in (report["output_sha256"], report["replaces_sha256"])
        finished = report["fingerprint"] if digest == report["output_sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return Earlier(None, True, digest)
    return Earlier(finished, not ours, digest)
