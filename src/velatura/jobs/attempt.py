"""One picture, as often as it takes: attempts, their limit, and what each kind of failure means."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from velatura.errors import Cancelled, ContractError, InputError, VelaturaError
from velatura.images.artwork import printable
from velatura.jobs.files import files
from velatura.jobs.lease import DeviceLock, Lease, Superseded
from velatura.jobs.records import Job, Picture
from velatura.jobs.store import Store

MOST_ATTEMPTS = 3
Work = Callable[[Job, Picture, Lease], dict[str, Any]]


@dataclass
class WorkerContext:
    """What every attempt of this worker needs, and which are under way. ``check``: ends the process if it must.

    Seconds: ``pause`` before a second attempt; ``stretch``, for which a batch goes on before another user's turn.
    """

    store: Store
    worker: str = "local"
    check: Callable[[], None] = lambda: None
    pause: float = 2.0
    stretch: float = 5.0
    device_lock: DeviceLock = field(default_factory=DeviceLock)
    under_way: set[tuple[str, int, int]] = field(default_factory=set)  # job, picture, attempt


def attempt(context: WorkerContext, work: Work, id: str, run: int, number: int, hurry: bool = False) -> None:
    """Work on one picture, again where that may help; its failure is entered, and the next one's turn comes."""
    store = context.store
    while True:
        context.check()
        job = store.job(id)
        if job is None or store.is_stopped(id, run):
            return
        picture = next(p for p in job.pictures if p.number == number)
        if picture.state in ("done", "failed"):
            return
        count = store.begin_picture(id, number)
        # Counted before it begins: a picture that takes the whole process down with it must not do so for ever.
        if count > MOST_ATTEMPTS:
            reason = picture.error or "the program ended while it was at work on it, perhaps for want of memory"
            store.set_picture(id, number, state="failed", error=f"given up after {MOST_ATTEMPTS} attempts: {reason}")
            return
        lease = Lease(store, context.device_lock, job, picture, count, context.worker, hurry)
        context.under_way.add((id, number, count))
        try:
            if _once(lease, work):
                return
        except Superseded:
            return
        finally:
            context.under_way.discard((id, number, count))
        time.sleep(context.pause * count)


def _once(lease: Lease, work: Work) -> bool:
    """One attempt; whether it was the last. Raises what is the matter with the whole job."""
    try:
        with lease.device_lock.held(hurry=lease.hurry):
            lease.started = time.monotonic()
            lease.fetch()
            summary = work(lease.job, lease.picture, lease)
        lease.enter(state="done", summary=summary, seconds=time.monotonic() - lease.started, error="")
        return True
    except Superseded:
        raise
    except Cancelled:
        lease.enter(state="waiting", step=0)
        return True
    except InputError as error:
        if not isinstance(error, ContractError):  # the settings are wrong, and will be for every picture
            lease.enter(state="waiting", step=0)
            raise
        lease.enter(state="failed", error=line(error, lease.picture))
        return True
    except VelaturaError as error:  # the picture is, and trying again would not mend it
        lease.enter(state="failed", error=line(error, lease.picture))
        return True
    except Exception as error:  # a full disk, no memory: may be better in a moment
        lease.enter(state="waiting", step=0, error=line(error, lease.picture))
        return False


def line(error: Exception, picture: Picture | None = None) -> str:
    """For the one who ordered it: by the picture's own name, without the places where a server keeps things."""
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else type(error).__name__
    if picture is not None:
        for place in (printable(picture.source), str(picture.source)):
            said = said.replace(place, picture.name)
    return files().without_places(said, "...")
