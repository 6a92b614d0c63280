"""One picture from its file to the files beside its result; the same for a command line and for a job.

It may be repeated: a result of the same picture and settings is recognised, and one that was cut short is
written again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

from velatura import __version__
from velatura.cloaks import OnStep
from velatura.errors import ImageError
from velatura.images import Artwork, read_guarded, save
from velatura.images.artwork import printable
from velatura.protection.panels import PANELS, Protected
from velatura.protection.protector import Protector
from velatura.protection.settings import Settings
from velatura.reports.places import Task, earlier
from velatura.reports.result import to_json
from velatura.styles.choose import Choice


def fingerprint(settings: Settings, source: Path) -> str:
    """Of a picture's bytes and all that changes its result."""
    return f"{__version__}-{settings.fingerprint()}-{sha256(source.read_bytes()).hexdigest()[:16]}"


def delivered(task: Task, settings: Settings) -> dict[str, Any] | None:
    """The report of a finished result of this picture with these settings, or None."""
    report = earlier(task).report
    if report is None or report.get("fingerprint") != fingerprint(settings, task.source):
        return None
    return report


def deliver(
    protector: Protector,
    task: Task,
    choice: Choice | None,
    on_step: OnStep | None = None,
    *,
    settings: Settings,
    panels: Sequence[str] = ("sheet.png",),
    claim: Callable[[], AbstractContextManager[None]] = nullcontext,
    on_read: Callable[[Artwork], None] | None = None,
) -> Protected:
    """Protect ``task.source`` and write the result with its report and ``panels`` beside it.

    ``settings``: as asked for, by which :func:`delivered` will know the result; the protector has filled in its own.
    ``claim``: inside of it all files are written; it may raise, and then none is. ``on_read``: is told of the picture
    before the work on it starts.
    Raises :class:`ImageError` where the picture cannot be read or protected, or where a file stands in the way that
    is not Velatura's work.
    """
    artwork = read_guarded(task.source, page=settings.page)
    mark = fingerprint(settings, task.source)
    before = earlier(task)
    if before.foreign is not None:
        where = printable(before.foreign)
        raise ImageError(f"{where}: exists and is not Velatura's work: choose another folder with -o")
    if on_read is not None:
        on_read(artwork)
    done = protector.protect(artwork, choice, on_step)
    own = {"output": task.output.name, "source_id": task.source_id, "fingerprint": mark}
    report = to_json(done.report | own | {"replaces_sha256": before.digest})
    with claim():
        # The report before the picture that it describes: see ``places.earlier``.
        save(report.encode(), task.beside("report.json"))
        for kind in panels:
            save(PANELS[kind](done), task.beside(kind))
        save(done.data, task.output)
    return done
