"""How long jobs and what was handed in are kept, as conditions on their rows."""

from __future__ import annotations

import sqlalchemy as sa

from velatura.jobs.database import jobs, pictures, uploads
from velatura.jobs.records import UNFINISHED


def kept_from(moment: float) -> sa.ColumnElement[float]:
    """When a job's time is over that ends, or begins again, at this moment; no earlier than it was."""
    # Jobs of an earlier version have no ``keep``.
    end = moment + sa.func.coalesce(jobs.c.keep, jobs.c.expires - jobs.c.created)
    return sa.case((jobs.c.expires > end, jobs.c.expires), else_=end)


def old_job(now: float) -> sa.ColumnElement[bool]:
    """A job that is over, as its time is."""
    return (jobs.c.expires < now) & jobs.c.state.not_in(UNFINISHED)


def old_upload(now: float) -> sa.ColumnElement[bool]:
    """One that was deleted, or that no job needs: to compare its result with, or to try again."""
    shown = (jobs.c.expires > 0) & ((jobs.c.kind != "preview") | jobs.c.state.in_(UNFINISHED))
    free = uploads.c.path.not_in(sa.select(pictures.c.source).join(jobs).where(shown))
    return (uploads.c.expires <= 0) | ((uploads.c.expires < now) & free)
