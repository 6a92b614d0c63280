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
from velatura.jobs.attempt import WorkerContext, attempt, line
from velatura.jobs.files import files
from velatura.jobs.lease import Lease
from velatura.jobs.queue import QUEUES, VERSION, folder_of, workflow_id
from velatura.jobs.records import Job, Picture
from velatura.jobs.store import Store

LEFT_OVER = 86400.0  # seconds


class Tasks(Protocol):
    """The work itself; ``tasks.ModelTasks`` in production."""

    def choose(self, job: Job) -> dict[str, Any]: ...
    def protect(self, job: Job, picture: Picture, lease: Lease) -> dict[str, Any]: ...
    def preview(self, job: Job, picture: Picture, lease: Lease) -> dict[str, Any]: ...
    def experiment(self, job: Job, picture: Picture, lease: Lease) -> dict[str, Any]: ...


def register(context: WorkerContext, tasks: Tasks) -> None:
    """Tell DBOS the workflows; once in a process, before its launch."""
    store = context.store

    @DBOS.step(name="choose")
    def choose(id: str, run: int) -> bool:
        context.check()
        job = store.job(id)
        if job is None or store.is_stopped(id, run):
            return False
        if not job.choice:  # a job that was resumed keeps its T
            with context.device_lock.held():
                store.set_job(id, run, choice=tasks.choose(job))
        return True

    @DBOS.step(name="protect_picture")
    def protect_picture(id: str, run: int, number: int, since: float) -> int | None:
        """Where what is left is queued again, if it is another user's turn."""
        attempt(context, tasks.protect, id, run, number)
        place = database.patiently(lambda: fairness.after_picture(store.engine, id), store.patience)
        return place if time.monotonic() - since >= context.stretch else None

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

        _whole(context, id, run, body)

    def queue_again(id: str, run: int, numbers: list[int], place: int) -> None:
        name = f"{workflow_id(id, run)}:{numbers[0]}"
        queue = {"workflow_name": "protect", "queue_name": QUEUES["protect"], "workflow_id": name, "priority": place}
        DBOS.enqueue_workflow_with_options(queue | {"app_version": VERSION}, id, run, numbers)  # type: ignore[arg-type]

    @DBOS.step(name="preview_picture")
    def preview_picture(id: str, run: int, number: int) -> None:
        attempt(context, tasks.preview, id, run, number, hurry=True)

    @DBOS.workflow(name="preview")
    def preview(id: str, run: int, numbers: list[int]) -> None:
        def body() -> bool:
            preview_picture(id, run, numbers[0])
            return True

        _whole(context, id, run, body)

    @DBOS.step(name="delete_expired")
    def delete_expired() -> list[int]:
        return list(sweep(store))

    @DBOS.workflow(name="expire")
    def expire() -> None:
        delete_expired()


def sweep(store: Store, now: float | None = None) -> tuple[int, int]:
    """Delete what has expired, and what a crash left over; how many jobs and uploads that were.

    Files first: what cannot be deleted now keeps its row, and is tried again. Whoever has a file open (a download)
    keeps it until that is over, where the system allows it.
    """
    now = time.time() if now is None else now
    jobs = [store.drop(database.jobs, job.id, folder_of(job.id)) for job in store.expired_jobs(now)]
    # After the jobs: as long as one names it, an upload stays.
    uploads = [store.drop(database.uploads, u.id, u.path.parent) for u in store.expired_uploads(now)]
    _sweep_leftovers(store, now)
    sweep_machine(store, now)
    return sum(jobs), sum(uploads)


def sweep_machine(store: Store, now: float | None = None) -> None:
    """Delete what lies on this machine alone: decoded pixels of processes that were killed, copies in the mirror."""
    now = time.time() if now is None else now
    found = files()
    guarded.sweep(found.root)
    if found.remote is None:
        return
    for table, name in ((database.uploads, "uploads"), (database.jobs, "jobs")):
        # No younger ones: a picture that is arriving has no row yet, nor here one of another database.
        old = {p.name: p for p in (found.root / name).glob("*") if _changed(p) < now - LEFT_OVER}
        for id in old.keys() - store.known(table, old):
            shutil.rmtree(old[id], ignore_errors=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone
        return float("inf")


def _sweep_leftovers(store: Store, now: float) -> None:
    """What no row names: pictures that never arrived in full, and what was written of a job after it was deleted.

    Nothing else: another database may keep its files in the same place.
    """
    found = files()
    for partial in (found.root / "uploads").glob("*/arriving"):
        if _changed(partial) < now - LEFT_OVER:
            found.remove(partial.parent)
    for id in store.deleted(now):
        if found.remove(folder_of(id)):
            store.delete(database.deleted, id)


def _whole(context: WorkerContext, id: str, run: int, body: Callable[[], bool]) -> None:
    """A job from "working" to its end, or, where ``body`` says that it goes on later, to there.

    An error that no picture is to blame for ends it with a reason.
    """
    context.check()
    store = context.store
    try:
        if not store.set_job(id, run, state="working"):
            return
        over = body()
    except VelaturaError as error:
        store.set_job(id, run, state="failed", reason=line(error), finished=time.time())
    except Exception as error:
        if store.is_stopped(id, run):
            raise  # DBOS saying that it was cancelled
        reason = f"{type(error).__name__}: {line(error)}"
        if isinstance(error, sa.exc.OperationalError):
            reason = "the database was away for too long; try again"
        store.set_job(id, run, state="failed", reason=reason, finished=time.time())
    else:
        context.check()
        if over:
            store.set_job(id, run, state="done", finished=time.time())
    finally:
        if store.job(id) is None:  # deleted while it was being worked on: what was written since goes too
            files().remove(folder_of(id))
