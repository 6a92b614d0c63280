"""Which files a command means, and where their results go."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velatura.errors import InputError
from velatura.reports.places import KINDS, Task, beside, report_at

if TYPE_CHECKING:
    from torch import Tensor

    from velatura.images.formats import Written

CARD, SHEET = "generated.json", "sheet.png"  # beside the pictures that a mimic made


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


def of_other_kinds(left_out: Sequence[Path]) -> str:
    """What to say of pictures that ``tasks`` left out."""
    from velatura.images.artwork import printable

    names = ", ".join(printable(path) for path in left_out[:3]) + (", ..." if len(left_out) > 3 else "")
    return f"left out {len(left_out)} pictures of kinds that are not read: {names}"


def new_file(path: Path) -> None:
    """Refuse a result's name before the work, not after it."""
    if path.exists():
        raise InputError(f"{path} exists already: choose another name, or delete it")
    if not path.parent.is_dir():
        raise InputError(f"{path}: expected a file in a folder that exists")


def new_or_ours(path: Path, *marks: bytes) -> None:
    """Refuse to write over a file without the ``marks`` that tell ours."""
    if path.is_file() and not all(mark in path.read_bytes() for mark in marks):
        raise InputError(f"{path}: exists and is not from here: choose another name, or delete it")


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


def readable(paths: Sequence[Path], what: str) -> list[Path]:
    """The pictures that can be read; a line for each that cannot. ``what`` they are, as a refusal calls them."""
    from velatura.errors import VelaturaError
    from velatura.images import read, working

    kept = []
    for path in paths:
        try:
            working(read(path), 32)
            kept.append(path)
        except (VelaturaError, OSError) as error:
            click.echo(f"left out: {error}", err=True)
    if not kept:
        raise InputError(f"expected pictures {what} (PNG, JPEG, WebP or TIFF), found none that can be read")
    return kept


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


def opened_at(paths: Sequence[Path], side: int) -> tuple[list[Path], list[Tensor]]:
    """The pictures that can be read, at the short side ``side``; a line for each that cannot."""
    from velatura.images.formats import READ

    def on_picture(path: Path, reason: str | None) -> None:
        if reason is not None:
            click.echo(f"left out: {reason}", err=True)

    found = opened(paths, side, on_picture=on_picture)
    if not found:
        raise InputError(f"expected pictures ({READ}), found none that can be read")
    return list(found), list(found.values())


def artist_of(art: Sequence[Path]) -> str:
    """An artist's name by the folder of the pictures: ``ada-lovelace/`` is ada lovelace."""
    first = art[0].resolve()
    name = (first if first.is_dir() else first.parent).name
    return re.sub(r"[-_]+", " ", name.encode("utf-8", "replace").decode())  # no tokenizer takes what is no UTF-8


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
        claim = _claim(beside(task.output, name, KINDS[0]))
        concerns = claim is not None and (name == task.name or claim[0] == task.output.name)
        if concerns and claim is not None and claim[1] != task.source_id:
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
        if any(part.startswith(".") for part in relative.parts) or not os.path.isfile(path):
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
    return any(claim is not None and claim[0] == path.name for claim in map(_claim, _report_paths(path)))


def _is_side_file(path: Path) -> bool:
    if path.name == SHEET and path.with_name(CARD).is_file():
        return True
    kind = next((kind for kind in KINDS[1:] if path.name.endswith(f".{kind}")), None)
    return kind is not None and _claim(path.with_name(path.name.removesuffix(kind) + KINDS[0])) is not None


def _claim(path: Path) -> tuple[Any, Any] | None:
    """Which output a report of ours is of, and of which source; None where there is no report."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return _claimed(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=100_000)  # a watch looks at all of them every other second
def _claimed(path: Path, *version: int) -> tuple[Any, Any] | None:
    report = report_at(path)
    return None if report is None else (report.get("output"), report.get("source_id"))


def reports_beside(path: Path) -> list[dict[str, Any]]:
    """The reports of ours that may be of this file, by their names."""
    return [report for report in map(report_at, _report_paths(path)) if report is not None]


def _report_paths(path: Path) -> list[Path]:
    return [beside(path, name, KINDS[0]) for name in (path.stem, path.name)]
