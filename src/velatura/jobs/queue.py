"""Where jobs are ordered, cancelled and resumed. Loads no torch: the work is done by ``worker``, another process.

Users of a shared server take turns, a picture each, however many pictures each ordered. It is start-time fair queueing
(Goyal, Vin and Cheng, SIGCOMM 1996), counted in pictures: a batch carries the number of its next picture on its user's
own line. A new line begins at the lowest number that is waiting: who comes late has missed nothing, and owes nothing. A
user's second batch begins where the first will end. DBOS takes the lowest number first; a batch that another user's has
fallen behind gives its place up between two pictures, and is queued again with the rest.
"""

from __future__ import annotations

import contextlib
import copy
import os
import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions
from filelock import FileLock, Timeout

from velatura.errors import InputError
from velatura.jobs import database
from velatura.jobs.database import jobs, pictures
from velatura.jobs.files import files
from velatura.jobs.records import UNFINISHED, Job, Kind, Picture
from velatura.jobs.store import Store

APPLICATION, VERSION = "velatura", "1"  # of the workflows: a job of an older version must still be carried out
QUEUES: dict[Kind, str] = {"protect": "batches", "preview": "previews", "evaluate": "experiments"}
KEEP_DAYS = 30.0
FIRST = 1  # DBOS's highest priority that can be asked for
# Batches of one machine's own queue have no number: where that machine is off, they would hold everyone's back.
_LINED_UP = jobs.c.state.in_(UNFINISHED) & jobs.c.turn.is_not(None)
MOST_LOG = 1_000_000  # bytes
HANDOVER_SECONDS = 5.0


class JobQueue:
    """Orders for one database. ``url``: of SQLite or PostgreSQL; None: the file in the user's data folder.

    ``engine``: of ``database.connect``, where there is one already.
    """

    def __init__(self, url: str | None = None, engine: sa.Engine | None = None) -> None:
        self.url = url or database.default_url()
        self.engine = engine or database.connect(self.url)
        self.store = Store(self.engine)
        # JSON, not DBOS's default, which is pickles.
        serializer = DBOSPortableJSONSerializer()
        self.client = DBOSClient(
            system_database_engine=self.engine, serializer=serializer, application_name=APPLICATION, lazy=True
        )

    def of(self, owner: str | None) -> JobQueue:
        """The same queue as one user sees it; None: as it is."""
        if owner is None:
            return self
        own = copy.copy(self)
        own.store = Store(self.engine, owner)
        return own

    def submit(
        self,
        pictures: Sequence[Picture],
        order: dict[str, Any],
        *,
        kind: Kind = "protect",
        id: str | None = None,
        key: str | None = None,
        keep_days: float = KEEP_DAYS,
    ) -> Job:
        """Order a job; it is in the queue when this returns. The same idempotency ``key`` gives the same job."""
        if not pictures:
            raise InputError("job: expected one picture or more, got none")
        now = time.time()
        job = Job(id or str(uuid.uuid4()), kind, 1, "waiting", order, now, now + 86400 * keep_days)
        job = replace(job, pictures=tuple(pictures), owner=self.store.owner)
        try:
            with self.engine.begin() as connection:  # both or neither: a job that is entered is in the queue
                self.store.add(connection, job, key)
                self._enqueue(connection, job, [p.number for p in pictures])
        except sa.exc.IntegrityError:
            if key is None or (earlier := self.store.by_key(key)) is None:
                raise
            return earlier
        return job

    def cancel(self, id: str) -> bool:
        """Stop a job at its next gradient step; what is done stays. False where it was over already."""
        job = self.store.job(id)
        if job is None or not job.unfinished or not self.store.set_job(id, job.run, state="cancelled"):
            return False
        self.client.cancel_workflow(workflow_id(id, job.run))
        for picture in job.pictures:
            if picture.state == "working":
                self.store.set_picture(id, picture.number, state="waiting", step=0)
        return True

    def resume(self, id: str) -> bool:
        """Take up a cancelled job again, or the failed pictures of one that is over. False where nothing is left."""
        job = self.store.job(id)
        if job is None or job.unfinished or all(p.state == "done" for p in job.pictures):
            return False
        return self._again(job)

    def recover(self) -> None:
        """Queue anew what is unfinished and in no queue: where the database was away when its work ended, say."""
        for job in self.store.unfinished():
            mine = self.client.list_workflows(workflow_id_prefix=f"{job.id}:", load_input=False, load_output=False)
            if any(workflow.status in ("PENDING", "ENQUEUED", "DELAYED") for workflow in mine):
                continue
            now = self.store.job(job.id)
            if now is None or (now.run, now.unfinished) != (job.run, True):
                continue  # it has ended meanwhile
            if job.kind == "preview":  # nobody waits for it any more
                self.cancel(job.id)
            elif {workflow.queue_name for workflow in mine} <= {queue_of(self.engine, job), None}:
                self._again(now)  # not where it is another machine's own

    def _again(self, job: Job) -> bool:
        with self.engine.begin() as connection:
            numbers = self.store.restart(connection, job)
            if numbers is None:
                return False
            self._enqueue(connection, replace(job, run=job.run + 1), numbers)
        return True

    def delete(self, id: str) -> bool:
        """Forget a job that is over, with the files that the application keeps of it. False where it is not over."""
        job = self.store.job(id)
        if job is None or job.unfinished:
            return False
        uploads = self.store.uploads_of(job)
        if job.kind != "preview":
            self.forget_previews([upload.path for upload in uploads])
        for upload in uploads:
            self.store.drop(database.uploads, upload.id, upload.path.parent)
        self.store.drop(database.jobs, id, folder_of(id))
        return True

    def forget_previews(self, sources: Sequence[Path]) -> None:
        """Give up and delete what shows a part of these pictures."""
        for job in self.store.jobs(kind="preview", most=100_000):
            if any(picture.source in sources for picture in job.pictures):
                self.cancel(job.id)
                self.delete(job.id)

    def delete_all(self) -> None:
        """Cancel and forget all jobs and everything that was handed in, whatever is at work on it."""
        for job in self.store.unfinished():
            self.cancel(job.id)
        for kind in QUEUES:
            for job in self.store.jobs(kind=kind, most=100_000):
                self.delete(job.id)
        for upload in self.store.all_uploads():
            self.store.drop(database.uploads, upload.id, upload.path.parent)

    def _enqueue(self, connection: sa.Connection, job: Job, numbers: list[int]) -> None:
        options: EnqueueOptions = {
            "workflow_name": job.kind,
            "queue_name": queue_of(self.engine, job),
            "workflow_id": workflow_id(job.id, job.run),
            "app_version": VERSION,
        }
        if options["queue_name"] == QUEUES["protect"]:
            options["priority"] = line_up(connection, job)
        self.client.enqueue_in_transaction(connection, options, job.id, job.run, numbers)

    def call_worker(self) -> None:
        """See to it that this machine has a worker, even where one is just about to end: it waits for its turn."""
        start_worker(self.url)

    def ensure_worker(self) -> subprocess.Popen[bytes] | None:
        """Start this machine's worker in the background, unless one is at work; for those who look again later."""
        lock = FileLock(database.lock_file(self.url), timeout=0)
        try:
            with lock:
                pass
        except Timeout:
            return None
        return start_worker(self.url)

    def end_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """End the worker that an application started, unless it is at work for the command line too.

        Returns when it has handed over: a container ends with its first process.
        """
        try:
            jobs = self.store.unfinished()
        except sa.exc.OperationalError:
            jobs = []
        if worker.poll() is not None or any("folder" in job.order for job in jobs):
            return  # it ends by itself, when nothing is left to do
        worker.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(HANDOVER_SECONDS)
            if os.name == "nt" and self.engine.dialect.name == "sqlite":  # it was not asked there, but killed
                at_work = [(job.id, p.number, p.attempts) for job in jobs for p in job.pictures if p.state == "working"]
                self.store.forgive(at_work)


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


def queue_of(engine: sa.Engine, job: Job) -> str:
    """For any worker, or for this machine's where others could not see the job's files."""
    places = [path for picture in job.pictures for path in (picture.source, picture.output)]
    places += [files().found(os.fsencode(text)) for text in job.order.get("paths", [])]
    shared = engine.dialect.name == "sqlite" or all(files().inside(path) is not None for path in places)
    return QUEUES[job.kind] if shared else local_queue(QUEUES[job.kind])


def local_queue(name: str) -> str:
    """The queue of jobs that only this machine can do."""
    return f"{name}@{platform.node()}"


def workflow_id(id: str, run: int) -> str:
    return f"{id}:{run}"


def folder_of(id: str) -> Path:
    """Where the application keeps a job's results."""
    return files().root / "jobs" / id


def start_worker(url: str) -> subprocess.Popen[bytes]:
    """A worker that outlives its parent, and ends when it has been idle for a while."""
    # By the environment: a URL may hold a password, and everyone can read a command line.
    environment = os.environ | {"VELATURA_DATABASE": url}
    own: dict[str, Any] = {"creationflags": 0x208} if os.name == "nt" else {"start_new_session": True}
    command = [sys.executable, "-P", "-m", "velatura.jobs.worker"]  # -P: nothing out of the current folder is run
    log_file = database.home() / "worker.log"
    grown = log_file.exists() and log_file.stat().st_size > MOST_LOG
    with log_file.open("wb" if grown else "ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **own)
