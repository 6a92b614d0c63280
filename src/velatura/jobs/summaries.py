"""Jobs in brief: their figures alone, counted where they lie, for pages that ask whenever anything changes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa

from velatura.jobs.database import jobs, pictures
from velatura.jobs.records import BY_STEPS, UNFINISHED, State


@dataclass(frozen=True)
class JobSummary:
    """As :class:`velatura.jobs.records.Job` counts them; ``pictures``, ``done`` and ``failed`` are numbers."""

    id: str
    state: State
    created: float
    pictures: int
    done: int
    failed: int
    share: float
    seconds_left: float | None


def summaries(engine: sa.Engine, where: sa.ColumnElement[bool], most: int) -> list[JobSummary]:
    """The latest ``most`` jobs for which ``where`` is so."""
    p, heads = pictures.c, (jobs.c.id, jobs.c.state, jobs.c.created)
    part = BY_STEPS * sa.cast(p.step, sa.Float) / p.steps
    share = sa.case((p.state.in_(("done", "failed")), 1.0), (p.steps > 0, part), else_=0.0)
    known = (share > 0) & (p.seconds > 0) & (p.state != "failed")
    counts = [sa.func.count(p.job), *(sa.func.count(sa.case((p.state == state, 1))) for state in ("done", "failed"))]
    sums = [sa.func.coalesce(sa.func.sum(share), 0.0), sa.func.avg(sa.case((known, p.seconds / share)))]
    query = sa.select(*heads, *counts, *sums).select_from(jobs.outerjoin(pictures)).where(where).group_by(*heads)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(jobs.c.created.desc(), jobs.c.id).limit(most)).all()
    return [_summary(*row) for row in rows]


def _summary(
    id: str, state: State, created: float, total: int, done: int, failed: int, ready: float, each: float | None
) -> JobSummary:
    left = 0.0 if state not in UNFINISHED else None if each is None else each * (total - ready)
    return JobSummary(id, state, created, total, done, failed, ready / max(1, total), left)


def pulses(engine: sa.Engine) -> dict[str | None, str]:
    """For each owner, what changes whenever anything about a job of theirs does; cheap, for those who wait."""
    sums = [sa.func.count(), sa.func.sum(pictures.c.step), sa.func.sum(pictures.c.attempts)]
    by = (jobs.c.owner, pictures.c.state)
    parts = sa.select(*by, *sums).select_from(pictures.join(jobs)).group_by(*by).order_by(*by)
    by = (jobs.c.owner, jobs.c.state)
    wholes = sa.select(*by, sa.func.count(), sa.func.sum(jobs.c.run)).where(jobs.c.expires > 0)
    wholes = wholes.group_by(*by).order_by(*by)
    found: dict[str | None, str] = defaultdict(str)
    with engine.connect() as connection:
        for query in (parts, wholes):
            for owner, *row in connection.execute(query):
                found[owner] += f"{row} "
    return found
