"""How long jobs and what was handed in are kept, and the sweep that deletes what has expired."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from velatura.images import sandbox
from velatura.jobs import database
from velatura.jobs.database import jobs, pictures, uploads
from velatura.jobs.files import files
from velatura.jobs.queue import folder_of
from velatura.jobs.records import UNFINISHED, Upload, record_of
from velatura.jobs.store import Store

AT_WORK = 3600.0  # seconds, in which a worker has noticed that its job is gone
LEFT_OVER = 86400.0  # seconds


def old_job(now: float) -> sa.ColumnElement[bool]:
    """A job that is over, as its time is."""
    return (jobs.c.expires < now) & jobs.c.state.not_in(UNFINISHED)


def old_upload(now: float) -> sa.ColumnElement[bool]:
    """One that was deleted, or that no job needs: to compare its result with, or to try again."""
    shown = (jobs.c.expires > 0) & ((jobs.c.kind != "preview") | jobs.c.state.in_(UNFINISHED))
    free = uploads.c.path.not_in(sa.select(pictures.c.source).join(jobs).where(shown))
    return (uploads.c.expires <= 0) | ((uploads.c.expires < now) & free)


def has_expired(store: Store) -> bool:
    """Whether there is anything to delete, or there will be when its job is done; cheap."""
    now = time.time()
    over, old = sa.exists().where(old_job(now)), sa.exists().where(old_upload(now))
    gone = sa.exists().where(database.deleted.c.at < now - AT_WORK)
    with store.engine.connect() as connection:
        return bool(connection.execute(sa.select(over | old | gone)).scalar())


def expired_uploads(store: Store, now: float) -> list[Upload]:
    """Uploads whose time is over, and that no job needs."""
    with store.engine.connect() as connection:
        rows = connection.execute(sa.select(uploads).where(old_upload(now))).mappings().all()
    return [record_of(Upload, row) for row in rows]


def deleted(store: Store, now: float) -> list[str]:
    """Jobs that were deleted so long before ``now`` that nobody is at work on them any more."""
    long_ago = database.deleted.c.at < now - AT_WORK
    with store.engine.connect() as connection:
        return list(connection.execute(sa.select(database.deleted.c.id).where(long_ago)).scalars())


def sweep(store: Store, now: float | None = None) -> tuple[int, int]:
    """Delete what has expired, and what a crash left over; how many jobs and uploads that were.

    Files first: what cannot be deleted now keeps its row, and is tried again. Whoever has a file open (a download)
    keeps it until that is over, where the system allows it.
    """
    now = time.time() if now is None else now
    jobs = [store.drop(database.jobs, job.id, folder_of(job.id)) for job in store.jobs_where(old_job(now))]
    # After the jobs: as long as one names it, an upload stays.
    uploads = [store.drop(database.uploads, u.id, u.path.parent) for u in expired_uploads(store, now)]
    _sweep_leftovers(store, now)
    sweep_machine(store, now)
    return sum(jobs), sum(uploads)


def sweep_machine(store: Store, now: float | None = None) -> None:
    """Delete what lies on this machine alone: decoded pixels of processes that were killed, copies in the mirror."""
    now = time.time() if now is None else now
    found = files()
    sandbox.sweep(found.root)
    if found.remote is None:
        return
    for table, name in ((database.uploads, "uploads"), (database.jobs, "jobs")):
        # No younger ones: a picture that is arriving has no row yet, nor here one of another database.
        old = {p.name: p for p in (found.root / name).glob("*") if _changed(p) < now - LEFT_OVER}
        for id in old.keys() - _known(store, table, old):
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
    for id in deleted(store, now):
        if found.remove(folder_of(id)):
            store.delete(database.deleted, id)


def _known(store: Store, table: sa.Table, ids: Iterable[str]) -> set[str]:
    """Those of ``ids`` that have a row."""
    with store.engine.connect() as connection:
        return set(connection.execute(sa.select(table.c.id).where(table.c.id.in_(list(ids)))).scalars())
