"""Whose batch comes next: users of a shared server take turns, a picture each, however many pictures each ordered.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), counted in pictures: a batch carries the number of its
next picture on its user's own line. A new line begins at the lowest number that is waiting: who comes late has missed
nothing, and owes nothing. A user's second batch begins where the first will end. DBOS takes the lowest number first; a
batch that another user's has fallen behind gives its place up between two pictures, and is queued again with the rest.
"""

from __future__ import annotations

import sqlalchemy as sa

from velatura.jobs.database import jobs, pictures
from velatura.jobs.records import UNFINISHED, Job

FIRST = 1  # DBOS's highest priority that can be asked for
# Batches of one machine's own queue have no number: where that machine is off, they would hold everyone's back.
_LINED_UP = jobs.c.state.in_(UNFINISHED) & jobs.c.turn.is_not(None)


def line_up(connection: sa.Connection, job: Job) -> int:
    """Give a batch that is being ordered or resumed its number, in the caller's transaction."""
    others = _LINED_UP & (jobs.c.id != job.id)
    left = sa.select(sa.func.count()).where((pictures.c.job == jobs.c.id) & pictures.c.state.in_(UNFINISHED))
    ends = sa.select(sa.func.max(jobs.c.turn + left.scalar_subquery()))
    own = connection.execute(ends.where(others & jobs.c.owner.is_not_distinct_from(job.owner))).scalar()
    lowest = connection.execute(sa.select(sa.func.min(jobs.c.turn)).where(others)).scalar()
    turn = int(max(FIRST, lowest or 0, own or 0))
    connection.execute(jobs.update().where(jobs.c.id == job.id).values(turn=turn))
    return turn


def after_picture(engine: sa.Engine, id: str) -> int | None:
    """Count a picture of a batch; its number, where another user's batch that nobody works on has a lower one."""
    with engine.begin() as connection:
        counted = jobs.update().where((jobs.c.id == id) & jobs.c.turn.is_not(None)).values(turn=jobs.c.turn + 1)
        connection.execute(counted)
        mine = connection.execute(sa.select(jobs.c.owner, jobs.c.turn).where(jobs.c.id == id)).first()
        if mine is None or mine.turn is None:
            return None
        at_work = sa.exists().where((pictures.c.job == jobs.c.id) & (pictures.c.state == "working"))
        behind = _LINED_UP & jobs.c.owner.is_distinct_from(mine.owner) & (jobs.c.turn < mine.turn) & ~at_work
        waits = connection.execute(sa.select(jobs.c.id).where(behind).limit(1)).first()
    return None if waits is None else int(mine.turn)
