"""The durable workflows: what DBOS takes up again where it was, whatever happened to the process.

A batch is one workflow with a step per picture. Steps run at least once, so each is harmless to repeat: a picture that
was delivered before the process died is recognised by its report.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any, Protocol

from dbos import DBOS

from velatura.errors import Cancelled, ContractError, InputError, VelaturaError
from velatura.jobs import database
from velatura.jobs.desk import folder_of
from velatura.jobs.ledger import Ledger
from velatura.jobs.records import Job, Picture
from velatura.jobs.turns import Turns

MOST_ATTEMPTS = 3
WRITE_EVERY = 0.5  # seconds between two entries of progress


class Craft(Protocol):
    """The work itself; ``studio.Studio`` in earnest."""

    def choose(self, job: Job) -> dict[str, Any]: ...
    def protect(self, job: Job, picture: Picture, on_progress: Callable[[int, int], None]) -> dict[str, Any]: ...
    def preview(self, job: Job, picture: Picture, on_progress: Callable[[int, int], None]) -> dict[str, Any]: ...


def register(ledger: Ledger, craft: Craft, pause: float = 2.0) -> None:
    """Tell DBOS the workflows; once in a process, before its launch. ``pause``: seconds before a second attempt."""
    turns = Turns()

    @DBOS.step(name="choose")
    def choose(id: str, run: int) -> bool:
        job = ledger.job(id)
        if job is None or ledger.is_stopped(id, run):
            return False
        if not job.choice:  # a job that was resumed keeps its T
            with turns.turn():
                ledger.set_job(id, run, choice=craft.choose(job))
        return True

    @DBOS.step(name="protect_picture")
    def protect_picture(id: str, run: int, number: int) -> None:
        _attempt(ledger, turns, craft.protect, id, run, number, pause)

    @DBOS.workflow(name="protect")
    def protect(id: str, run: int, numbers: list[int]) -> None:
        def body() -> None:
            if choose(id, run):
                for number in numbers:
                    protect_picture(id, run, number)

        _whole(ledger, id, run, body)

    @DBOS.step(name="preview_picture")
    def preview_picture(id: str, run: int, number: int) -> None:
        _attempt(ledger, turns, craft.preview, id, run, number, pause, hurry=True)

    @DBOS.workflow(name="preview")
    def preview(id: str, run: int, numbers: list[int]) -> None:
        _whole(ledger, id, run, lambda: preview_picture(id, run, numbers[0]))

    @DBOS.step(name="delete_expired")
    def delete_expired() -> list[int]:
        return list(sweep(ledger))

    @DBOS.workflow(name="expire")
    def expire() -> None:
        delete_expired()


def sweep(ledger: Ledger, now: float | None = None) -> tuple[int, int]:
    """Delete what has expired, the files that the application keeps first; how many jobs and uploads that were."""
    jobs, uploads = ledger.expired(now)
    for job in jobs:
        shutil.rmtree(folder_of(job.id), ignore_errors=True)
        ledger.delete(database.jobs, job.id)
    for upload in uploads:
        shutil.rmtree(upload.path.parent, ignore_errors=True)
        ledger.delete(database.uploads, upload.id)
    return len(jobs), len(uploads)


def _whole(ledger: Ledger, id: str, run: int, body: Callable[[], None]) -> None:
    """A job from "working" to its end; an error that no picture is to blame for ends it with a reason."""
    try:
        if not ledger.set_job(id, run, state="working"):
            return
        body()
    except VelaturaError as error:
        ledger.set_job(id, run, state="failed", reason=_line(error), finished=time.time())
    except Exception as error:
        if ledger.is_stopped(id, run):
            raise  # DBOS saying that it was cancelled
        ledger.set_job(id, run, state="failed", reason=f"{type(error).__name__}: {_line(error)}", finished=time.time())
    else:
        ledger.set_job(id, run, state="done", finished=time.time())
    finally:
        if ledger.job(id) is None:  # deleted while it was being worked on: what was written since goes too
            shutil.rmtree(folder_of(id), ignore_errors=True)


def _attempt(
    ledger: Ledger,
    turns: Turns,
    work: Callable[[Job, Picture, Callable[[int, int], None]], dict[str, Any]],
    id: str,
    run: int,
    number: int,
    pause: float,
    hurry: bool = False,
) -> None:
    """Work on one picture, again where that may help; its failure is entered, and the next one's turn comes."""
    while True:
        job = ledger.job(id)
        if job is None or ledger.is_stopped(id, run):
            return
        picture = next(p for p in job.pictures if p.number == number)
        if picture.state == "done":
            return
        attempt = ledger.begin_picture(id, number)
        # Counted before it begins: a picture that takes the whole process down with it must not do so for ever.
        if attempt > MOST_ATTEMPTS:
            reason = picture.error or "the program ended while it was at work on it, perhaps for want of memory"
            ledger.set_picture(id, number, state="failed", error=f"given up after {MOST_ATTEMPTS} attempts: {reason}")
            return
        started = time.monotonic()
        try:
            with turns.turn(hurry=hurry):
                summary = work(job, picture, _progress(ledger, turns, id, run, number, hurry))
            seconds = time.monotonic() - started
            ledger.set_picture(id, number, state="done", summary=summary, seconds=seconds, error="")
            return
        except Cancelled:
            ledger.set_picture(id, number, state="waiting", step=0)
            return
        except InputError as error:
            if not isinstance(error, ContractError):  # the settings are wrong, and will be for every picture
                ledger.set_picture(id, number, state="waiting", step=0)
                raise
            _failed(ledger, id, number, error)
            return
        except VelaturaError as error:  # the picture is, and trying again would not mend it
            _failed(ledger, id, number, error)
            return
        except Exception as error:  # a full disk, no memory: may be better in a moment
            ledger.set_picture(id, number, state="waiting", step=0, error=_line(error))
            time.sleep(pause * attempt)


def _progress(ledger: Ledger, turns: Turns, id: str, run: int, number: int, hurry: bool) -> Callable[[int, int], None]:
    started = written = time.monotonic()

    def on_progress(step: int, steps: int) -> None:
        nonlocal written
        now = time.monotonic()
        if now - written >= WRITE_EVERY or step == steps:
            written = now
            if ledger.is_stopped(id, run):
                raise Cancelled("cancelled")
            ledger.set_picture(id, number, step=step, steps=steps, seconds=now - started)
        if not hurry:
            turns.give_way()

    return on_progress


def _failed(ledger: Ledger, id: str, number: int, error: Exception) -> None:
    ledger.set_picture(id, number, state="failed", error=_line(error))


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
