"""Which files a command means, where their results go, and what stands there already."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from velatura.images.formats import Written

KINDS = ("report.json", "sheet.png", "target.png")


@dataclass(frozen=True)
class Task:
    """One picture, where it goes, and what its report and sheet beside it are called."""

    source: Path
    output: Path
    name: str

    def beside(self, kind: str) -> Path:
        """NAME.report.json, NAME.sheet.png, NAME.target.png."""
        return self.output.with_name(f"{self.name}.{kind}")

    @property
    def source_id(self) -> str:
        """Tells sources of one name apart without telling a reader of the report where they lie."""
        return sha256(str(self.source.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def tasks(
    files: Sequence[Path], folder: Path, *, format: Written | None = None, page: int | None = None
) -> tuple[list[Task], list[Path]]:
    """Tasks for files and, recursively, the pictures in folders, whose sub-folders are kept; and pictures left out.

    Two sources never share a file, in this run or with an earlier one into the same folder: of a.png and a.jpg the
    second one's report is a.jpg.report.json, and a second a.png becomes a-2.png. What Velatura made is no source.
    With another ``format``, a.png becomes a.jpg; a ``page`` is named, a-page2.tif.
    """
    taken: set[str] = set()
    found: list[Task] = []
    left_out: list[Path] = []
    for file in files:
        for source, relative in _expand(file, folder, left_out):
            output = _renamed(folder / relative, format, page)
            task = next(t for t in _names(source, output) if _is_free(t, taken))
            taken.update(map(_key, [task.output, *map(task.beside, KINDS)]))
            found.append(task)
    return found, left_out


def _renamed(output: Path, format: Written | None, page: int | None) -> Path:
    from velatura.images.formats import SUFFIXES_OF

    if page is not None:
        output = output.with_name(f"{output.stem}-page{page}{output.suffix}")
    if format is not None and output.suffix.lower() not in SUFFIXES_OF[format]:
        output = output.with_suffix(SUFFIXES_OF[format][0])
    return output


def pictures(files: Sequence[Path]) -> list[Path]:
    """Pictures among files and, recursively, in folders, protected ones too; sheets and targets of ours left out."""
    from velatura.images.formats import SUFFIXES

    found: list[Path] = []
    for file in files:
        inside = sorted(file.rglob("*")) if file.is_dir() else [file]
        for path in inside:
            hidden = any(part.startswith(".") for part in path.relative_to(file).parts)
            if path == file or (path.suffix.lower() in SUFFIXES and not hidden and not _is_side_file(path)):
                found.append(path)
    return found


def opened(paths: Sequence[Path], side: int, *, on_picture: Callable[[Path, str | None], None]) -> dict[Path, Tensor]:
    """The pictures that can be read, at the short side ``side``; ``on_picture`` hears of each, and why it cannot."""
    from velatura.errors import VelaturaError
    from velatura.images import read, working

    found = {}
    for path in paths:
        reason = None
        try:
            found[path] = working(read(path), side)
        except (VelaturaError, OSError) as error:
            reason = str(error)
        on_picture(path, reason)
    return found


def artist_of(art: Sequence[Path]) -> str:
    """An artist's name by the folder of the pictures: ``ada-lovelace/`` is ada lovelace."""
    first = art[0].resolve()
    return re.sub(r"[-_]+", " ", (first if first.is_dir() else first.parent).name)


def _names(source: Path, output: Path) -> Iterator[Task]:
    number = 1
    while True:
        path = output if number == 1 else output.with_name(f"{output.stem}-{number}{output.suffix}")
        yield Task(source, path, path.stem)
        yield Task(source, path, path.name)
        number += 1


def _key(path: Path) -> str:
    """One key for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _is_free(task: Task, taken: set[str]) -> bool:
    if any(_key(path) in taken for path in (task.output, *map(task.beside, KINDS))):
        return False
    for name in (task.name, task.output.stem, task.output.name):
        report = _report(task.output.with_name(f"{name}.{KINDS[0]}"))
        concerns = report is not None and (name == task.name or report.get("output") == task.output.name)
        if concerns and report is not None and report.get("source_id") != task.source_id:
            return False
    return True


def _expand(file: Path, folder: Path, left_out: list[Path]) -> Iterator[tuple[Path, Path]]:
    try:
        is_folder = file.is_dir()
    except OSError:  # a name too long, a parent without permission: said when it is read
        is_folder = False
    if not is_folder:
        yield file, Path(file.name)
        return
    from velatura.images.formats import OTHER_SUFFIXES, SUFFIXES

    inside = folder.resolve()
    nested = inside != file.resolve() and inside.is_relative_to(file.resolve())
    for path in sorted(file.rglob("*")):
        relative = path.relative_to(file)
        if any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        if nested and path.resolve().is_relative_to(inside):
            continue
        if path.suffix.lower() in OTHER_SUFFIXES:
            left_out.append(path)
        elif path.suffix.lower() in SUFFIXES and not _is_ours(path):
            yield path, relative


def _is_ours(path: Path) -> bool:
    """Whether a file in a source folder is a protected picture, or the sheet or target of one."""
    if _is_side_file(path):
        return True
    return any(report.get("output") == path.name for report in reports_beside(path))


def _is_side_file(path: Path) -> bool:
    kind = next((kind for kind in KINDS[1:] if path.name.endswith(f".{kind}")), None)
    return kind is not None and _report(path.with_name(path.name.removesuffix(kind) + KINDS[0])) is not None


def reports_beside(path: Path) -> list[dict[str, Any]]:
    """The reports of ours that may be of this file, by their names."""
    names = (path.stem, path.name)
    return [report for name in names if (report := _report(path.with_name(f"{name}.{KINDS[0]}"))) is not None]


def _report(path: Path) -> dict[str, Any] | None:
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
    report = _report(task.beside(KINDS[0]))
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
