"""The durable workflows: what DBOS takes up again where it was, whatever happened to the process.

A batch is a workflow with a step per picture, or several of them one after the other, where users take turns. Steps run
at least once, so each is harmless to repeat: a picture that was delivered before the process died is recognised by its
report.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import sqlalchemy as sa
from dbos import DBOS

from velatura.errors import VelaturaError
from velatura.jobs import database
from velatura.jobs.attempt import WorkerContext, attempt, line
from velatura.jobs.expiry import sweep
from velatura.jobs.files import files
from velatura.jobs.lease import Lease
from velatura.jobs.queue import QUEUES, VERSION, after_picture, folder_of, workflow_id
from velatura.jobs.records import Job, Picture


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
        place = database.patiently(lambda: after_picture(store.engine, id), store.patience)
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
