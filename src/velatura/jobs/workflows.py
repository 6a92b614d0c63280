"""The durable workflows: what DBOS takes up again where it was, whatever happened to the process.

A batch is one workflow with a step per picture. Steps run at least once, so each is harmless to repeat: a picture that
was delivered before the process died is recognised by its report.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dbos import DBOS

from velatura.errors import VelaturaError
from velatura.jobs import database
from velatura.jobs.attempt import Bench, attempt, line
from velatura.jobs.desk import folder_of
from velatura.jobs.files import files
from velatura.jobs.hold import Hold
from velatura.jobs.ledger import Ledger
from velatura.jobs.records import Job, Picture

LEFT_OVER = 86400.0  # seconds


class Craft(Protocol):
    """The work itself; ``studio.Studio`` in earnest."""

    def choose(self, job: Job) -> dict[str, Any]: ...
    def protect(self, job: Job, picture: Picture, hold: Hold) -> dict[str, Any]: ...
    def preview(self, job: Job, picture: Picture, hold: Hold) -> dict[str, Any]: ...
    def experiment(self, job: Job, picture: Picture, hold: Hold) -> dict[str, Any]: ...


def register(bench: Bench, craft: Craft) -> None:
    """Tell DBOS the workflows; once in a process, before its launch."""
    ledger = bench.ledger

    @DBOS.step(name="choose")
    def choose(id: str, run: int) -> bool:
        bench.check()
        job = ledger.job(id)
        if job is None or ledger.is_stopped(id, run):
            return False
        if not job.choice:  # a job that was resumed keeps its T
            with bench.turns.turn():
                ledger.set_job(id, run, choice=craft.choose(job))
        return True

    @DBOS.step(name="protect_picture")
    def protect_picture(id: str, run: int, number: int) -> None:
        attempt(bench, craft.protect, id, run, number)

    @DBOS.workflow(name="protect")
    def protect(id: str, run: int, numbers: list[int]) -> None:
        def body() -> None:
            if choose(id, run):
                for number in numbers:
                    protect_picture(id, run, number)

        _whole(bench, id, run, body)

    @DBOS.step(name="preview_picture")
    def preview_picture(id: str, run: int, number: int) -> None:
        attempt(bench, craft.preview, id, run, number, hurry=True)

    @DBOS.workflow(name="preview")
    def preview(id: str, run: int, numbers: list[int]) -> None:
        _whole(bench, id, run, lambda: preview_picture(id, run, numbers[0]))

    @DBOS.step(name="delete_expired")
    def delete_expired() -> list[int]:
        return list(sweep(ledger))

    @DBOS.workflow(name="expire")
    def expire() -> None:
        delete_expired()


def sweep(ledger: Ledger, now: float | None = None) -> tuple[int, int]:
    """Delete what has expired, and what a crash left over; how many jobs and uploads that were.

    Files first: what cannot be deleted now keeps its row, and is tried again. Whoever has a file open (a download)
    keeps it until that is over, where the system allows it.
    """
    found = files()
    jobs, uploads = ledger.expired(now)
    gone = [job for job in jobs if found.remove(folder_of(job.id))]
    for job in gone:
        ledger.delete(database.jobs, job.id)
    gone_uploads = [upload for upload in uploads if found.remove(upload.path.parent)]
    for upload in gone_uploads:
        ledger.delete(database.uploads, upload.id)
    for folder in _left_over(ledger, time.time() if now is None else now):
        found.remove(folder)
    return len(gone), len(gone_uploads)


def _left_over(ledger: Ledger, now: float) -> list[Path]:
    """Folders that no row names: an upload that was broken off by a crash, results of a job that was deleted."""
    known = ledger.ids()
    places = [files().root / name for name in ("uploads", "jobs")]
    inside = [folder for place in places if place.is_dir() for folder in place.iterdir()]
    # A folder is made before its row: only what is old enough is certain.
    return [folder for folder in inside if folder.name not in known and now - folder.stat().st_mtime > LEFT_OVER]


def _whole(bench: Bench, id: str, run: int, body: Callable[[], None]) -> None:
    """A job from "working" to its end; an error that no picture is to blame for ends it with a reason."""
    bench.check()
    ledger = bench.ledger
    try:
        if not ledger.set_job(id, run, state="working"):
            return
        body()
    except VelaturaError as error:
        ledger.set_job(id, run, state="failed", reason=line(error), finished=time.time())
    except Exception as error:
        if ledger.is_stopped(id, run):
            raise  # DBOS saying that it was cancelled
        ledger.set_job(id, run, state="failed", reason=f"{type(error).__name__}: {line(error)}", finished=time.time())
    else:
        bench.check()
        ledger.set_job(id, run, state="done", finished=time.time())
    finally:
        if ledger.job(id) is None:  # deleted while it was being worked on: what was written since goes too
            files().remove(folder_of(id))
