"""The process that does the work: ``python -m velatura.jobs.worker``, ``velatura worker``.

It may be killed at any time: whoever comes next goes on where it was. On SQLite there is one on a machine and database,
by a lock, and the next takes up what the last had begun. On PostgreSQL there may be many, on many machines, and those
that live take over from those that died (``heartbeat``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from filelock import FileLock, Timeout

from velatura.jobs import database, experiments, heartbeat
from velatura.jobs.attempt import WorkerContext
from velatura.jobs.expiry import has_expired, sweep_machine
from velatura.jobs.files import files
from velatura.jobs.queue import APPLICATION, QUEUES, VERSION, JobQueue, local_queue
from velatura.jobs.store import Store
from velatura.jobs.workflows import Tasks, register

IDLE_SECONDS = 300.0
HANDOVER_SECONDS = 10.0  # a worker that found nothing more to do is gone by then
SWEEP_SECONDS = 60.0
log = logging.getLogger("velatura")


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker works. ``alone``: not beside another worker of this machine.

    Seconds: ``idle`` after which it ends (None: never); ``pause`` and ``stretch`` as in ``attempt.WorkerContext``;
    ``beat`` and ``dead`` as in ``heartbeat.Heartbeat``.
    """

    idle: float | None = IDLE_SECONDS
    pause: float = 2.0
    stretch: float = 5.0
    beat: float = heartbeat.BEAT_SECONDS
    dead: float = heartbeat.DEAD_SECONDS
    alone: bool = True


def work(url: str, tasks: Tasks | None = None, options: WorkerOptions | None = None, **changes: float) -> bool:
    """Carry out the jobs of ``url`` until there have been none for a while.

    False where another worker of this machine was at it. ``tasks``: what does the work itself; None is the real thing.
    """
    options = options or WorkerOptions(**changes)  # type: ignore[arg-type]
    lock = FileLock(database.lock_file(url))
    try:
        lock.acquire(timeout=HANDOVER_SECONDS if options.alone else 0)
    except Timeout:
        if options.alone or url.startswith("sqlite"):
            return False
    try:
        _serve(url, tasks, options)
    finally:
        lock.release()
    return True


def _serve(url: str, tasks: Tasks | None, options: WorkerOptions) -> None:
    from dbos import DBOS

    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    engine = database.connect(url)
    if tasks is None:
        from velatura.jobs.tasks import ModelTasks

        tasks = ModelTasks()
    with _living(engine, options) as life:
        store = Store(engine, patience=database.PATIENCE)
        context = WorkerContext(store, life.name, life.check, options.pause, options.stretch)
        JobQueue(url, engine).recover()
        _launch(url, engine, context, tasks)
        life.run()
        _wait(context, options, stop)
        if stop.is_set():
            with contextlib.suppress(sa.exc.OperationalError):  # it may be the database that is gone
                context.store.forgive(list(context.under_way))
    if stop.is_set():
        os._exit(0)  # a thread in the middle of a picture cannot be stopped any other way, and loses nothing
    DBOS.destroy()


class _Alone:
    """The only worker of a SQLite file: it takes up itself what the one before it had begun."""

    name = "local"

    def check(self) -> None: ...
    def run(self) -> None: ...


@contextlib.contextmanager
def _living(engine: sa.Engine, options: WorkerOptions) -> Iterator[heartbeat.Heartbeat | _Alone]:
    if engine.dialect.name == "sqlite":
        yield _Alone()
        return
    files().check(engine)
    beating = heartbeat.Heartbeat(engine, heartbeat.new_name(), options.beat, options.dead)
    beating.start()
    try:
        yield beating
    finally:
        beating.stop()


def _launch(url: str, engine: sa.Engine, context: WorkerContext, tasks: Tasks) -> None:
    from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": url,
        "system_database_engine": engine,
        "serializer": DBOSPortableJSONSerializer(),
        "application_version": VERSION,
        "executor_id": context.worker,
        "enable_otlp": False,  # nothing leaves this machine
        "log_level": "WARNING",
    }
    DBOS(config=config)
    register(context, tasks)
    experiments.register(context, lambda *part: tasks.experiment(*part))
    queues = [*QUEUES.values(), *map(local_queue, QUEUES.values()), "upkeep"]
    DBOS.listen_queues(queues)  # other machines' own are registered too
    DBOS.launch()
    for queue in queues:
        # One batch at a time: it is one device. Previews have their own queue, and go first (``lease.DeviceLock``).
        DBOS.register_queue(queue, worker_concurrency=1, polling_interval_sec=0.5, on_conflict="always_update")


def _wait(context: WorkerContext, options: WorkerOptions, stop: threading.Event) -> None:
    """Until the worker is told to stop, or there has been nothing to do for long enough."""
    store = Store(context.store.engine)  # without patience: it is to stop when it is told to
    busy, swept = time.monotonic(), -SWEEP_SECONDS
    while not stop.wait(0.2):
        now = time.monotonic()
        try:
            if now - swept >= SWEEP_SECONDS:
                swept = now
                sweep_machine(store)
                if has_expired(store):
                    _sweep()
            if store.is_busy():
                busy = now
            elif options.idle is not None and now - busy >= options.idle:
                return
        except sa.exc.OperationalError as error:
            log.warning("the database cannot be reached (%s)", type(error).__name__)
            busy = now
            stop.wait(1.0)


def _sweep() -> None:
    """As a workflow, so that of several workers one does it; the id says which minute it was for."""
    from dbos import DBOS

    name = f"expire-{int(time.time() // SWEEP_SECONDS)}"
    DBOS.enqueue_workflow_with_options(
        {"workflow_name": "expire", "queue_name": "upkeep", "workflow_id": name, "app_version": VERSION}
    )


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(10)  # pages, and whatever else this machine does, go first
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    work(os.environ.get("VELATURA_DATABASE") or database.default_url())


if __name__ == "__main__":
    main()
