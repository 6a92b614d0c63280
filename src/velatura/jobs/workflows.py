"""The durable workflows: what DBOS takes up again where it was, whatever happened to the process.

A batch is a workflow with a step per picture, or several of them one after the other, where users take turns. Steps run
at least once, so each is harmless to repeat: a picture that was delivered before the process died is recognised by its
report.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from dbos import DBOS

from velatura.errors import VelaturaError
from velatura.images import guarded
from velatura.jobs import database, fairness
from velatura.jobs.attempt import Bench, attempt, line
from velatura.jobs.desk import QUEUES, VERSION, folder_of, workflow_id
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
    def protect_picture(id: str, run: int, number: int, since: float) -> int | None:
        """Where what is left is queued again, if it is another user's turn."""
        attempt(bench, craft.protect, id, run, number)
        place = database.patiently(lambda: fairness.after_picture(ledger.engine, id), ledger.patience)
        return place if time.monotonic() - since >= bench.stretch else None

    @DBOS.workflow(name="protect")
    def protect(id: str, run: int, numbers: list[int]) -> None:
        def body() -> bool:
            since = time.monotonic()
            if choose(id, run):
                for done, number in enumerate(numbers, 1):
                    place = protect_picture(id, run, number, since)
                    if place is not None and done < len(numbers):
                        queue_again(id, run, numbers[done:], place)
                        return False
            return True

        _whole(bench, id, run, body)

    def queue_again(id: str, run: int, numbers: list[int], place: int) -> None:
        name = f"{workflow_id(id, run)}:{numbers[0]}"
        queue = {"workflow_name": "protect", "queue_name": QUEUES["protect"], "workflow_id": name, "priority": place}
        DBOS.enqueue_workflow_with_options(queue | {"app_version": VERSION}, id, run, numbers)  # type: ignore[arg-type]

    @DBOS.step(name="preview_picture")
    def preview_picture(id: str, run: int, number: int) -> None:
        attempt(bench, craft.preview, id, run, number, hurry=True)

    @DBOS.workflow(name="preview")
    def preview(id: str, run: int, numbers: list[int]) -> None:
        def body() -> bool:
            preview_picture(id, run, numbers[0])
            return True

        _whole(bench, id, run, body)

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
    now = time.time() if now is None else now
    jobs = [ledger.drop(database.jobs, job.id, folder_of(job.id)) for job in ledger.expired_jobs(now)]
    # After the jobs: as long as one names it, an upload stays.
    uploads = [ledger.drop(database.uploads, u.id, u.path.parent) for u in ledger.expired_uploads(now)]
    _sweep_leftovers(ledger, now)
    sweep_machine(ledger, now)
    return sum(jobs), sum(uploads)


def sweep_machine(ledger: Ledger, now: float | None = None) -> None:
    """Delete what lies on this machine alone: decoded pixels of processes that were killed, copies in the mirror."""
    now = time.time() if now is None else now
    found = files()
    guarded.sweep(found.root)
    if found.remote is None:
        return
    for table, name in ((database.uploads, "uploads"), (database.jobs, "jobs")):
        # No younger ones: a picture that is arriving has no row yet, nor here one of another database.
        old = {p.name: p for p in (found.root / name).glob("*") if _changed(p) < now - LEFT_OVER}
        for id in old.keys() - ledger.known(table, old):
            shutil.rmtree(old[id], ignore_errors=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone
        return float("inf")


def _sweep_leftovers(ledger: Ledger, now: float) -> None:
    """What no row names: pictures that never arrived in full, and what was written of a job after it was deleted.

    Nothing else: another database may keep its files in the same place.
    """
    found = files()
    for partial in (found.root / "uploads").glob("*/arriving"):
        if _changed(partial) < now - LEFT_OVER:
            found.remove(partial.parent)
    for id in ledger.deleted(now):
        if found.remove(folder_of(id)):
            ledger.delete(database.deleted, id)


def _whole(bench: Bench, id: str, run: int, body: Callable[[], bool]) -> None:
    """A job from "working" to its end, or, where ``body`` says that it goes on later, to there.

    An error that no picture is to blame for ends it with a reason.
    """
    bench.check()
    ledger = bench.ledger
    try:
        if not ledger.set_job(id, run, state="working"):
            return
        over = body()
    except VelaturaError as error:
        ledger.set_job(id, run, state="failed", reason=line(error), finished=time.time())
    except Exception as error:
        if ledger.is_stopped(id, run):
            raise  # DBOS saying that it was cancelled
        reason = f"{type(error).__name__}: {line(error)}"
        if isinstance(error, sa.exc.OperationalError):
            reason = "the database was away for too long; try again"
        ledger.set_job(id, run, state="failed", reason=reason, finished=time.time())
    else:
        bench.check()
        if over:
            ledger.set_job(id, run, state="done", finished=time.time())
    finally:
        if ledger.job(id) is None:  # deleted while it was being worked on: what was written since goes too
            files().remove(folder_of(id))
