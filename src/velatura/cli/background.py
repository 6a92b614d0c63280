"""Pictures handed to the worker instead of being protected here: what --background and `velatura watch` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from velatura import weights
from velatura.cli.batch import probe
from velatura.images.artwork import printable
from velatura.reports.places import Task

if TYPE_CHECKING:
    from velatura.jobs.records import Job
    from velatura.protection import Settings


class Background:
    """Jobs of one setting into one folder, in the database of ``url``."""

    def __init__(self, url: str | None, settings: Settings, output: Path, options: dict[str, Any]) -> None:
        from velatura.jobs.queue import JobQueue

        self.queue, self.settings = JobQueue(url), settings
        # The worker runs elsewhere: paths must not hang on where this command was called.
        catalogue = str(settings.catalogue.resolve()) if settings.catalogue else None
        # What the table knows wins over a folder of that name, as it does in the foreground; painters are in no table.
        models = [m if m == "auto" or weights.lookup(m) else _anywhere(m) for m in settings.models]
        painter = settings.painter and _anywhere(settings.painter)
        kept = asdict(settings) | {"catalogue": catalogue, "models": models, "painter": painter}
        panels = ["sheet.png", *(["target.png"] if options["keep_target"] else [])]
        folder = printable(output.resolve())
        self.order = {"settings": kept, "panels": panels, "force": options["force"], "folder": folder}

    def submit(self, todo: Sequence[Task]) -> Job:
        """Queue the pictures as one job, and see to it that a worker is there."""
        from velatura.jobs.records import Picture

        for folder in sorted({task.output.parent for task in todo}):
            probe(folder)
        pictures = []
        for number, task in enumerate(todo):
            name, source, output = printable(Path(task.source.name)), task.source.resolve(), task.output.resolve()
            pictures.append(Picture(number, name, source, output, task.name, stamp(source)))
        job = self.queue.submit(pictures, self.order)
        self.queue.call_worker()
        return job


def _anywhere(model: str) -> str:
    """A model's name; if it is a folder, as it is found from elsewhere."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def stamp(path: Path) -> str:
    """Changes when a file does; empty where it cannot be looked at, which the job will say."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"
