"""The process that does the work: ``python -m velatura.jobs.worker``. One on a machine and database, by a lock.

It may be killed at any time: whoever comes next, this one restarted or the application, goes on where it was.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time

from filelock import FileLock, Timeout

from velatura.jobs import database
from velatura.jobs.desk import APPLICATION, QUEUES, VERSION
from velatura.jobs.ledger import Ledger
from velatura.jobs.workflows import Craft, register

IDLE_SECONDS = 300.0
HANDOVER_SECONDS = 10.0  # a worker that found nothing more to do is gone by then


def work(url: str, craft: Craft | None = None, *, idle: float = IDLE_SECONDS, pause: float = 2.0) -> bool:
    """Carry out the jobs of ``url`` until there have been none for ``idle`` seconds.

    False where another worker of this machine was at it. ``craft``: what does the work itself; None is the real thing.
    """
    lock = FileLock(database.lock_file(url))
    try:
        lock.acquire(timeout=HANDOVER_SECONDS)
    except Timeout:
        return False
    with lock:
        _serve(url, craft, idle, pause)
    return True


def _serve(url: str, craft: Craft | None, idle: float, pause: float) -> None:
    from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    engine = database.connect(url)
    ledger = Ledger(engine)
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": url,
        "system_database_engine": engine,
        "serializer": DBOSPortableJSONSerializer(),
        "application_version": VERSION,
        # Its own unfinished workflows are what a worker takes up when it starts; those of other machines are not.
        "executor_id": "local" if url.startswith("sqlite") else platform.node(),
        "enable_otlp": False,  # nothing leaves this machine
        "log_level": "WARNING",
    }
    DBOS(config=config)
    if craft is None:
        from velatura.jobs.studio import Studio

        craft = Studio()
    register(ledger, craft, pause)
    DBOS.launch()
    for queue in QUEUES.values():
        # One batch at a time: it is one device. Previews have a queue of their own, and go first (``turns``).
        DBOS.register_queue(queue, worker_concurrency=1, polling_interval_sec=0.5, on_conflict="always_update")
    DBOS.register_queue("upkeep", worker_concurrency=1, on_conflict="always_update")
    busy, swept = time.monotonic(), ""
    while time.monotonic() - busy < idle and not stop.wait(0.2):
        hour = time.strftime("%Y-%m-%dT%H", time.gmtime())
        if hour != swept:
            swept = hour
            DBOS.enqueue_workflow_with_options(
                {
                    "workflow_name": "expire",
                    "queue_name": "upkeep",
                    "workflow_id": f"expire-{hour}",
                    "app_version": VERSION,
                }
            )
        if ledger.unfinished():
            busy = time.monotonic()
    if stop.is_set():
        ledger.forgive()
        os._exit(0)  # a thread in the middle of a picture cannot be stopped any other way, and loses nothing
    DBOS.destroy()


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(10)  # pages, and whatever else this machine does, go first
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    work(os.environ.get("VELATURA_DATABASE") or database.default_url())


if __name__ == "__main__":
    main()
