"""Which workers live, and who takes over the work of one that died.

A worker enters itself in a table and renews its entry every few seconds. What an executor had begun, DBOS hands on
only when it is told that the executor is dead; its paid service would tell. Here each living worker strikes those off
that have not been seen for a while, and makes that call for every executor that has work under way and no entry. The
call may be repeated: a workflow that was handed on already no longer names the dead one.

A worker that was only frozen finds itself struck off when it wakes, and ends: its work is another's by then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa
from dbos import DBOS

from velatura.jobs.database import now, patiently, workers

BEAT_SECONDS = 5.0
DEAD_SECONDS = 60.0  # as DBOS's own service has it; a machine may be that busy
STRUCK_OFF = 75  # exit status: start it again
log = logging.getLogger("velatura")


def new_name() -> str:
    """An executor's name, of one process only."""
    return f"{platform.node()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _end() -> None:
    log.error("this worker was not seen for too long, and others took over its work; start it again")
    os._exit(STRUCK_OFF)  # threads in the middle of a picture cannot be stopped any other way


@dataclass
class Heartbeat:
    """The entry of one worker, ``name``, renewed every ``beat`` seconds; others are dead after ``dead`` seconds."""

    engine: sa.Engine
    name: str
    beat: float = BEAT_SECONDS
    dead: float = DEAD_SECONDS
    on_struck_off: Callable[[], None] = _end
    stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Enter this worker; before DBOS is launched, so that it has no work without an entry."""
        moment = now(self.engine)
        row = {"id": self.name, "host": platform.node(), "started": moment, "seen": moment}
        with self.engine.begin() as connection:
            connection.execute(workers.insert().values(**row))

    def run(self) -> None:
        """Beat in a thread from now on, and take over from the dead; after DBOS was launched."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Leave: others may take over what is under way at once."""
        self.stopped.set()
        # Where the database is away, others strike it off in time.
        with contextlib.suppress(sa.exc.OperationalError), self.engine.begin() as connection:
            connection.execute(workers.delete().where(workers.c.id == self.name))

    def check(self) -> None:
        """End this process if the worker was struck off; asked before it takes up anything new."""
        if not patiently(self._is_entered) and not self.stopped.is_set():
            self.on_struck_off()

    def _is_entered(self) -> bool:
        with self.engine.connect() as connection:
            return connection.execute(sa.select(workers.c.id).where(workers.c.id == self.name)).first() is not None

    def _beat(self) -> None:
        renewed = time.monotonic()
        while not self.stopped.wait(self.beat):
            try:
                with self.engine.begin() as connection:
                    mine = workers.update().where(workers.c.id == self.name).values(seen=now(self.engine))
                    known = bool(connection.execute(mine).rowcount)
                if not known and not self.stopped.is_set():
                    self.on_struck_off()
                    return
                renewed = time.monotonic()
                take_over(self.engine, self.dead)
            except sa.exc.SQLAlchemyError as error:
                log.warning("the database cannot be reached (%s)", type(error).__name__)
                if time.monotonic() - renewed > self.dead:
                    self.on_struck_off()
                    return


def living(engine: sa.Engine) -> list[tuple[str, float]]:
    """Workers, and for how many seconds each has not been seen."""
    query = sa.select(workers.c.id, now(engine) - workers.c.seen).order_by(workers.c.started)
    with engine.connect() as connection:
        return [(name, float(ago)) for name, ago in connection.execute(query)]


def take_over(engine: sa.Engine, dead: float) -> list[str]:
    """Strike off who was not seen for ``dead`` seconds, and have their work handed on; whose work that was."""
    with engine.begin() as connection:
        connection.execute(workers.delete().where(workers.c.seen < now(engine) - dead))
    under_way = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
    # Who lives is asked after what is under way: a worker enters itself before it begins anything.
    alive = {name for name, _ in living(engine)}
    gone = sorted({w.executor_id for w in under_way if w.executor_id is not None} - alive)
    if gone:
        # What the admin API's /dbos-workflow-recovery called; the package has no public name for it (docs/workers.md).
        DBOS._recover_pending_workflows(gone)
        log.warning("took over from %s", ", ".join(gone))
    return gone
