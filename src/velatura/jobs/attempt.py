"""One picture, as often as it takes: attempts, their limit, and what each kind of failure means."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from velatura.errors import Cancelled, ContractError, InputError, VelaturaError
from velatura.images.artwork import printable
from velatura.jobs.files import files
from velatura.jobs.hold import Hold, Superseded
from velatura.jobs.ledger import Ledger
from velatura.jobs.records import Job, Picture
from velatura.jobs.turns import Turns

MOST_ATTEMPTS = 3
Work = Callable[[Job, Picture, Hold], dict[str, Any]]


@dataclass
class Bench:
    """What every attempt of this worker needs, and which are under way. ``check``: ends the process if it must.

    Seconds: ``pause`` before a second attempt; ``stretch``, for which a batch goes on before another user's turn.
    """

    ledger: Ledger
    worker: str = "local"
    check: Callable[[], None] = lambda: None
    pause: float = 2.0
    stretch: float = 5.0
    turns: Turns = field(default_factory=Turns)
    under_way: set[tuple[str, int, int]] = field(default_factory=set)  # job, picture, attempt


def attempt(bench: Bench, work: Work, id: str, run: int, number: int, hurry: bool = False) -> None:
    """Work on one picture, again where that may help; its failure is entered, and the next one's turn comes."""
    ledger = bench.ledger
    while True:
        bench.check()
        job = ledger.job(id)
        if job is None or ledger.is_stopped(id, run):
            return
        picture = next(p for p in job.pictures if p.number == number)
        if picture.state in ("done", "failed"):
            return
        count = ledger.begin_picture(id, number)
        # Counted before it begins: a picture that takes the whole process down with it must not do so for ever.
        if count > MOST_ATTEMPTS:
            reason = picture.error or "the program ended while it was at work on it, perhaps for want of memory"
            ledger.set_picture(id, number, state="failed", error=f"given up after {MOST_ATTEMPTS} attempts: {reason}")
            return
        hold = Hold(ledger, bench.turns, job, picture, count, bench.worker, hurry)
        bench.under_way.add((id, number, count))
        try:
            if _once(hold, work):
                return
        except Superseded:
            return
        finally:
            bench.under_way.discard((id, number, count))
        time.sleep(bench.pause * count)


def _once(hold: Hold, work: Work) -> bool:
    """One attempt; whether it was the last. Raises what is the matter with the whole job."""
    try:
        with hold.turns.turn(hurry=hold.hurry):
            hold.started = time.monotonic()
            hold.fetch()
            summary = work(hold.job, hold.picture, hold)
        hold.enter(state="done", summary=summary, seconds=time.monotonic() - hold.started, error="")
        return True
    except Superseded:
        raise
    except Cancelled:
        hold.enter(state="waiting", step=0)
        return True
    except InputError as error:
        if not isinstance(error, ContractError):  # the settings are wrong, and will be for every picture
            hold.enter(state="waiting", step=0)
            raise
        hold.enter(state="failed", error=line(error, hold.picture))
        return True
    except VelaturaError as error:  # the picture is, and trying again would not mend it
        hold.enter(state="failed", error=line(error, hold.picture))
        return True
    except Exception as error:  # a full disk, no memory: may be better in a moment
        hold.enter(state="waiting", step=0, error=line(error, hold.picture))
        return False


def line(error: Exception, picture: Picture | None = None) -> str:
    """For the one who ordered it: by the picture's own name, without the places where a server keeps things."""
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else type(error).__name__
    if picture is not None:
        for place in (printable(picture.source), str(picture.source)):
            said = said.replace(place, picture.name)
    return files().without_places(said, "...")
