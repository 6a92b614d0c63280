"""The tables of jobs and their pictures, as calls. Each is one transaction, and may be repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from velatura.errors import InputError
from velatura.jobs.database import deleted, deliveries, jobs, patiently, pictures, uploads
from velatura.jobs.files import files
from velatura.jobs.records import OVER, UNFINISHED, Job, Picture, Upload, record_of, row_of
from velatura.jobs.summaries import JobSummary, summaries

PAGE, MOST = 100, 10_000  # jobs
F = TypeVar("F", bound=Callable[..., Any])
Told = TypeVar("Told", Job, JobSummary)


def _patient(call: F) -> F:
    """A call that a worker makes, and that a moment without the database must not end."""

    @wraps(call)
    def repeated(store: Store, *args: Any, **kwargs: Any) -> Any:
        return patiently(lambda: call(store, *args, **kwargs), store.patience)

    return cast(F, repeated)


class Store:
    """How all jobs stand. ``engine``: of ``database.connect``; ``owner``: enter for, and show, this user's alone.

    ``patience``: seconds for which a worker's calls wait for a database that is away.
    """

    def __init__(self, engine: sa.Engine, owner: str | None = None, patience: float = 0.0) -> None:
        self.engine = engine
        self.owner = owner
        self.patience = patience

    def _mine(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """What is shown: not what is deleted, but for files that could not be yet."""
        here = table.c.expires > 0
        return here if self.owner is None else here & (table.c.owner == self.owner)

    def _key(self, key: str | None) -> str | None:
        """Two users may choose the same idempotency key."""
        return key if key is None or self.owner is None else sha256(f"{self.owner}:{key}".encode()).hexdigest()

    def add(self, connection: sa.Connection, job: Job, key: str | None) -> None:
        """Enter a job and its pictures, in the caller's transaction."""
        row = {name: getattr(job, name) for name in ("id", "owner", "kind", "run", "state", "reason")}
        row |= {name: getattr(job, name) for name in ("order", "choice", "created", "finished", "expires")}
        row["keep"] = job.expires - job.created
        connection.execute(jobs.insert().values(**row, idempotency_key=self._key(key)))
        if job.pictures:
            connection.execute(pictures.insert(), [{"job": job.id, **row_of(p)} for p in job.pictures])

    def by_key(self, key: str) -> Job | None:
        """The job that was ordered with this idempotency key."""
        with self.engine.connect() as connection:
            mine = self._mine(jobs) & (jobs.c.idempotency_key == self._key(key))
            found = connection.execute(sa.select(jobs.c.id).where(mine)).scalar()
        return self.job(found) if found else None

    def find(self, start: str) -> Job:
        """The job whose id is, or starts with, ``start``."""
        pattern = start.replace("%", "").replace("_", "") + "%"
        with self.engine.connect() as connection:
            mine = self._mine(jobs) & jobs.c.id.like(pattern)
            ids = connection.execute(sa.select(jobs.c.id).where(mine).limit(2)).scalars().all()
        if len(ids) != 1:
            raise InputError(f"job {start!r}: expected the id of one job or its beginning, found {len(ids)} of them")
        found = self.job(ids[0])
        assert found is not None
        return found

    @_patient
    def job(self, id: str) -> Job | None:
        found = self.jobs_where(self._mine(jobs) & (jobs.c.id == id))
        return found[0] if found else None

    def jobs(
        self, *, kind: str = "protect", most: int = PAGE, before: float | None = None, also: Iterable[str] = ()
    ) -> list[Job]:
        """The latest jobs, newest first, then older ones that are unfinished, or among ``also`` (ids).

        ``before``: the latest of those that were ordered before this time, and no others.
        """
        mine = self._mine(jobs) & (jobs.c.kind == kind)
        if before is not None:
            return self.jobs_where(mine & (jobs.c.created < before), most)
        return self._latest(self.jobs_where, mine, most, also)

    def summaries(self, also: Iterable[str] = ()) -> list[JobSummary]:
        """``jobs`` in brief; cheap, for those who wait."""
        mine = self._mine(jobs) & (jobs.c.kind == "protect")
        return self._latest(partial(summaries, self.engine), mine, PAGE, also)

    def _latest(
        self,
        read: Callable[[sa.ColumnElement[bool], int], list[Told]],
        mine: sa.ColumnElement[bool],
        most: int,
        also: Iterable[str],
    ) -> list[Told]:
        found = read(mine, most)
        if len(found) == most:
            older = jobs.c.created < found[-1].created
            found += read(mine & older & (jobs.c.state.in_(UNFINISHED) | jobs.c.id.in_(list(also))), MOST)
        return found

    def unfinished(self) -> list[Job]:
        """Jobs that are waiting or being worked on, of any kind."""
        return self.jobs_where(self._mine(jobs) & jobs.c.state.in_(UNFINISHED))

    def jobs_where(self, where: sa.ColumnElement[bool], most: int = MOST) -> list[Job]:
        """The latest jobs for which ``where`` is so, whoever they belong to, newest first."""
        query = sa.select(jobs).where(where).order_by(jobs.c.created.desc(), jobs.c.id).limit(most)
        with self.engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
            ids = [row["id"] for row in rows]
            inside = sa.select(pictures).where(pictures.c.job.in_(ids)).order_by(pictures.c.number)
            parts: dict[str, list[Picture]] = {id: [] for id in ids}
            for part in connection.execute(inside).mappings():
                parts[part["job"]].append(record_of(Picture, part))
        return [record_of(Job, {**row, "pictures": tuple(parts[row["id"]])}) for row in rows]

    @_patient
    def set_job(self, id: str, run: int, **values: Any) -> bool:
        """Change a job as long as this ``run`` of it was not cancelled; whether that was so.

        How long it is kept counts from when it is over: one that waited for longer must not be gone at once.
        """
        if values.get("state") in OVER:
            values = {"finished": time.time()} | values
            values["expires"] = _kept_from(values["finished"])
        mine = (jobs.c.id == id) & (jobs.c.run == run) & (jobs.c.state != "cancelled") & (jobs.c.expires > 0)
        with self.engine.begin() as connection:
            return bool(connection.execute(jobs.update().where(mine).values(**values)).rowcount)

    @_patient
    def is_stopped(self, id: str, run: int) -> bool:
        """Whether a run was cancelled, or its job resumed in another one, or deleted."""
        query = sa.select(jobs.c.state, jobs.c.run).where(jobs.c.id == id)
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        return row is None or row.state == "cancelled" or row.run != run

    @_patient
    def set_picture(
        self, id: str, number: int, attempt: int | None = None, run: int | None = None, **values: Any
    ) -> bool:
        """Change a picture; with ``attempt``: if that is still the latest one and under way. Whether it was changed.

        ``run``: and if that is the job's latest; attempts are counted anew in each.
        """
        with self.engine.begin() as connection:
            here = _one(id, number) if attempt is None else _under_way(id, number, attempt)
            if run is not None:
                here &= sa.exists().where((jobs.c.id == id) & (jobs.c.run == run))
            return bool(connection.execute(pictures.update().where(here).values(**values)).rowcount)

    @contextmanager
    def delivery(self, id: str, run: int, number: int, attempt: int, worker: str) -> Iterator[bool]:
        """A transaction in which this attempt, and no other, may write the picture's files; False where it may not.

        It may not if another worker has taken the picture over, or the job was cancelled. Ends as a row of deliveries.
        """
        with self.engine.begin() as connection:
            mine = pictures.update().where(_under_way(id, number, attempt)).values(attempts=attempt)  # locks the row
            current = sa.exists().where((jobs.c.id == id) & (jobs.c.run == run) & (jobs.c.state != "cancelled"))
            allowed = bool(connection.execute(mine.where(current)).rowcount)
            yield allowed
            if allowed:
                row = {"job": id, "run": run, "number": number, "attempt": attempt, "worker": worker, "at": time.time()}
                connection.execute(deliveries.insert().values(**row))

    def deliveries(self, id: str) -> list[tuple[int, str]]:
        """Of a job, which picture was delivered by which worker, in order."""
        query = sa.select(deliveries.c.number, deliveries.c.worker).where(deliveries.c.job == id)
        with self.engine.connect() as connection:
            return [(number, worker) for number, worker in connection.execute(query.order_by(deliveries.c.at))]

    @_patient
    def begin_picture(self, id: str, number: int) -> int:
        """Enter that a picture is being worked on; the how-manieth attempt this is."""
        start = {"state": "working", "step": 0, "attempts": pictures.c.attempts + 1}
        with self.engine.begin() as connection:
            connection.execute(pictures.update().where(_one(id, number)).values(**start))
            return int(connection.execute(sa.select(pictures.c.attempts).where(_one(id, number))).scalar_one())

    def forgive(self, attempts: Iterable[tuple[str, int, int]]) -> None:
        """Take back attempts that are under way (job, picture, attempt): the worker was asked to stop."""
        back = {"state": "waiting", "step": 0, "attempts": pictures.c.attempts - 1}
        with self.engine.begin() as connection:
            for attempt in attempts:
                connection.execute(pictures.update().where(_under_way(*attempt)).values(**back))

    def restart(self, connection: sa.Connection, job: Job) -> list[int] | None:
        """A new run of a job's unfinished and failed pictures: their numbers; None where it has changed meanwhile."""
        fresh: dict[str, Any] = {"run": job.run + 1, "state": "waiting", "reason": "", "finished": None}
        fresh["expires"] = _kept_from(time.time())
        seen = (jobs.c.id == job.id) & (jobs.c.run == job.run) & (jobs.c.state == job.state)
        if not connection.execute(jobs.update().where(seen).values(**fresh)).rowcount:
            return None
        open_ones = (pictures.c.job == job.id) & (pictures.c.state != "done")
        again = {"state": "waiting", "step": 0, "attempts": 0, "error": ""}
        connection.execute(pictures.update().where(open_ones).values(**again))
        return list(connection.execute(sa.select(pictures.c.number).where(open_ones)).scalars())

    def stamps(self, folder: Path, same: Callable[[dict[str, Any]], bool]) -> set[tuple[Path, str]]:
        """Source and stamp of every picture that stands in ``folder``, or will, by an order that is the ``same``."""
        query = sa.select(jobs.c.id, jobs.c.order, jobs.c.state).where(jobs.c.state != "cancelled")
        columns = (pictures.c.job, pictures.c.source, pictures.c.stamp, pictures.c.output, pictures.c.state)
        with self.engine.connect() as connection:
            under_way = {row.id: row.state in UNFINISHED for row in connection.execute(query) if same(row.order)}
            rows = connection.execute(sa.select(*columns).where(pictures.c.state != "failed")).all()
        found = set()
        for row in rows:
            output = files().found(row.output)
            if row.job not in under_way or folder not in output.parents:
                continue
            if output.exists() if row.state == "done" else under_way[row.job]:
                found.add((files().found(row.source), row.stamp))
        return found

    def add_upload(self, upload: Upload) -> None:
        with self.engine.begin() as connection:
            connection.execute(uploads.insert().values(**row_of(upload)))

    def uploads(self, ids: Sequence[str]) -> list[Upload]:
        """Those of ``ids`` that are still here, in their order."""
        with self.engine.connect() as connection:
            mine = self._mine(uploads) & uploads.c.id.in_(ids)
            rows = connection.execute(sa.select(uploads).where(mine)).mappings().all()
        found = {row["id"]: record_of(Upload, row) for row in rows}
        return [found[id] for id in ids if id in found]

    def all_uploads(self) -> list[Upload]:
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(uploads).where(self._mine(uploads))).mappings().all()
        return [record_of(Upload, row) for row in rows]

    def uploads_of(self, job: Job) -> list[Upload]:
        """What was handed in for this job, and serves no other; a preview holds on to nothing."""
        sources = [files().stored(picture.source) for picture in job.pictures]
        others = sa.select(pictures.c.source).join(jobs).where((jobs.c.id != job.id) & (jobs.c.kind != "preview"))
        mine = sa.select(uploads).where(uploads.c.path.in_(sources) & uploads.c.path.not_in(others))
        with self.engine.connect() as connection:
            return [record_of(Upload, row) for row in connection.execute(mine).mappings()]

    def delete(self, table: sa.Table, id: str) -> None:
        with self.engine.begin() as connection:
            gone = connection.execute(table.delete().where(table.c.id == id)).rowcount
            if gone and table is jobs:
                connection.execute(deleted.insert().values(id=id, at=time.time()))

    def drop(self, table: sa.Table, id: str, folder: Path) -> bool:
        """Delete a job or an upload; whether its files are gone. If not, it is not shown, and the sweep tries again."""
        if files().remove(folder):
            self.delete(table, id)
            return True
        hidden = {"expires": 0.0} | ({"idempotency_key": None} if table is jobs else {})
        with self.engine.begin() as connection:
            connection.execute(table.update().where(table.c.id == id).values(**hidden))
        return False

    def is_busy(self) -> bool:
        """Whether any job is waiting or being worked on; cheap."""
        with self.engine.connect() as connection:
            return bool(connection.execute(sa.select(sa.exists().where(jobs.c.state.in_(UNFINISHED)))).scalar())


def _one(id: str, number: int) -> sa.ColumnElement[bool]:
    return (pictures.c.job == id) & (pictures.c.number == number)


def _under_way(id: str, number: int, attempt: int) -> sa.ColumnElement[bool]:
    return _one(id, number) & (pictures.c.attempts == attempt) & (pictures.c.state == "working")


def _kept_from(moment: float) -> sa.ColumnElement[float]:
    """When a job's time is over that ends, or begins again, at this moment; no earlier than it was."""
    # Jobs of an earlier version have no ``keep``.
    end = moment + sa.func.coalesce(jobs.c.keep, jobs.c.expires - jobs.c.created)
    return sa.case((jobs.c.expires > end, jobs.c.expires), else_=end)
