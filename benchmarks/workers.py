"""Several workers on one PostgreSQL: what a kill -9 costs, and what the engine costs.

    python benchmarks/workers.py        # writes results/workers.json

The work is a stand-in that sleeps, so that the figures are of the engine alone. Needs the extra ``web`` and Debian's
postgresql, which is started in a temporary folder, on loopback, as an ordinary user. tests/jobs/test_postgres.py uses
the same parts.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from velatura import __version__
from velatura.jobs import heartbeat
from velatura.jobs.files import files
from velatura.jobs.lease import Lease
from velatura.jobs.queue import JobQueue
from velatura.jobs.records import Job, Picture
from velatura.jobs.worker import WorkerOptions, work

RESULT = Path(__file__).parents[1] / "results/workers.json"
BEAT, DEAD = 1.0, 20.0  # seconds; the command's own are 5 and 60
STEPS = 10
PATIENCE = 900.0  # seconds; a busy machine is no failure


class Sleeper:
    """Work that takes ``seconds`` and leaves a file whose content no other attempt would write."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def choose(self, job: Job) -> dict[str, Any]:
        return {"style": {"name": "none"}}

    def protect(self, job: Job, picture: Picture, lease: Lease) -> dict[str, Any]:
        if picture.output.exists():  # as ``ModelTasks`` recognises what it delivered
            return {}
        for step in range(STEPS):
            time.sleep(self.seconds / STEPS)
            lease(step + 1, STEPS)
        if picture.name == "freeze.png" and picture.attempts == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
        with lease.claim():
            arriving = picture.output.with_name(f".{uuid.uuid4().hex}")
            arriving.write_text(f"{os.getpid()} {uuid.uuid4()}")
            os.replace(arriving, picture.output)
            if picture.name == "die-inside.png" and picture.attempts == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        if picture.name == "die-after.png" and picture.attempts == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    preview = experiment = protect


def missing() -> str | None:
    """What this machine lacks for a PostgreSQL of our own, in a sentence; None where nothing is."""
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        return "expected PostgreSQL's programs, found none: apt-get install postgresql"
    return None


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL of its own on a free port of 127.0.0.1, and the URL of an empty database; gone afterwards."""
    programs = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
    # It refuses to run as root.
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="velatura-postgres-"))
    data, quiet = folder / "data", {"stdout": subprocess.DEVNULL, "cwd": "/"}
    if user:
        shutil.chown(folder, "postgres")
    try:
        subprocess.run([*user, programs / "initdb", "-D", data, "-A", "trust", "-U", "velatura"], check=True, **quiet)
        where = ["-k", folder, "-c", "listen_addresses=127.0.0.1", "-p", str(port)]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([*user, programs / "postgres", "-D", data, *where], stderr=log, cwd="/")
        try:
            address = ["-h", "127.0.0.1", "-p", str(port), "-U", "velatura"]
            end = time.monotonic() + PATIENCE
            while subprocess.run([programs / "pg_isready", *address], **quiet).returncode:
                if server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")
                time.sleep(0.1)
            subprocess.run([programs / "createdb", *address, "velatura"], check=True, **quiet)
            yield f"postgresql://velatura@127.0.0.1:{port}/velatura"
        finally:
            subprocess.run([*user, programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=False, **quiet)
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Shop:
    """A queue, the workers of its database, and an observer of what is delivered."""

    url: str
    folder: Path
    queue: JobQueue = field(init=False)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    seen: dict[Path, list[str]] = field(default_factory=dict)  # every content that a file ever had
    closed: threading.Event = field(default_factory=threading.Event)
    dead: float = field(default_factory=lambda: DEAD)

    def __post_init__(self) -> None:
        os.environ["VELATURA_DATA"] = str(self.folder)
        self.queue = JobQueue(self.url)
        self.out = files().root / "out"
        self.out.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._observe, daemon=True).start()

    def _observe(self) -> None:
        while not self.closed.wait(0.02):
            self.look()

    def look(self) -> None:
        for path in self.out.glob("[!.]*"):
            text = path.read_text()
            if text not in (contents := self.seen.setdefault(path, [])):
                contents.append(text)

    def start(self, count: int, seconds: float) -> None:
        """Workers, and wait until they live."""
        for _ in range(count):
            command = [sys.executable, __file__, "--worker", self.url, str(seconds), str(self.dead)]
            self.workers.append(subprocess.Popen(command))
        running = sum(worker.poll() is None for worker in self.workers)
        self.until(lambda: len(heartbeat.living(self.queue.engine)) >= running)
        time.sleep(1.5)  # until their queues are listened to

    def order(self, *names: str) -> Job:
        source = files().root / "source.png"
        source.touch()
        pictures = [Picture(i, name, source, self.out / f"{uuid.uuid4()}.png", "x") for i, name in enumerate(names)]
        return self.queue.submit(pictures, {"settings": {}})

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for job in self.queue.store.jobs():
            found[job.state] = found.get(job.state, 0) + 1
        return found

    def under_way(self) -> int:
        """Pictures that are being worked on."""
        return sum(picture.state == "working" for job in self.queue.store.unfinished() for picture in job.pictures)

    def until(self, true: Any, pause: float = 0.1) -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            if time.monotonic() > end:
                raise AssertionError(f"waited {PATIENCE} s in vain: {self.counts()}, {self.queue.store.jobs()[:2]}")
            time.sleep(pause)

    def close(self) -> None:
        self.closed.set()
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.queue.engine.dispose()


def kill_two_of_three(shop: Shop, jobs: int = 40, seconds: float = 1.0) -> dict[str, Any]:
    """Orders ``jobs``, kills two of three workers by SIGKILL half-way, waits for the end; what then was delivered."""
    shop.start(3, seconds)
    ordered = [shop.order("a.png") for _ in range(jobs)]
    started = time.monotonic()
    # Half-way, and each worker in the middle of a picture.
    shop.until(lambda: shop.counts().get("done", 0) >= jobs // 2 and shop.under_way() == 3, pause=0.05)
    half = time.monotonic() - started
    at_work = shop.under_way()
    for worker in shop.workers[:2]:
        worker.send_signal(signal.SIGKILL)
    shop.until(lambda: shop.counts().get("done", 0) >= jobs or not shop.queue.store.is_busy())
    whole = time.monotonic() - started
    time.sleep(shop.dead + 5)  # what would come a second time has come by then
    shop.look()
    rows = [len(shop.queue.store.deliveries(job.id)) for job in ordered]
    attempts = [shop.queue.store.job(job.id).pictures[0].attempts for job in ordered]  # type: ignore[union-attr]
    return {
        "jobs": jobs, "workers": 3, "killed": 2, "seconds_a_job": seconds, "dead_after_seconds": shop.dead,
        "under_way_when_killed": at_work, "done": shop.counts().get("done", 0), "files": len(shop.seen),
        "files_written_twice": sum(len(contents) > 1 for contents in shop.seen.values()),
        "deliveries_recorded": sum(rows), "jobs_delivered_twice": sum(count > 1 for count in rows),
        "begun_twice": sum(count > 1 for count in attempts), "seconds_to_half": half, "seconds_in_all": whole,
    }  # fmt: skip


def throughput(shop: Shop, workers: int, jobs: int, seconds: float) -> dict[str, Any]:
    """Jobs an hour of ``workers``, beside what they would do if the engine cost nothing."""
    shop.start(workers, seconds)
    started = time.monotonic()
    for _ in range(jobs):
        shop.order("a.png")
    shop.until(lambda: shop.counts().get("done", 0) >= jobs, pause=0.05)
    took = time.monotonic() - started
    ideal = jobs * seconds / workers
    return {
        "workers": workers, "jobs": jobs, "seconds_a_job": seconds, "seconds": took, "jobs_a_minute": 60 * jobs / took,
        "share_of_ideal": ideal / took, "engine_seconds_a_job": (took - ideal) * workers / jobs,
    }  # fmt: skip


@contextlib.contextmanager
def shop() -> Iterator[Shop]:
    """On a database of its own."""
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        opened = Shop(url, Path(folder))
        try:
            yield opened
        finally:
            opened.close()


def main() -> None:
    if (lacks := missing()) is not None:
        raise SystemExit(lacks)
    with shop() as one:
        killed = kill_two_of_three(one)
    print(json.dumps(killed, indent=1))
    rates = []
    for workers in (1, 2, 4):
        with shop() as one:
            rates.append(throughput(one, workers, jobs=24, seconds=2.0))
        print(json.dumps(rates[-1]))
    from velatura.reports.result import to_json, write

    about = {"experiment": "workers", "command": "python benchmarks/workers.py", "version": __version__}
    machine = f"{platform.machine()}, {os.cpu_count()} cores; load at the end {os.getloadavg()[1]:.1f}"
    tree = about | {"machine": machine, "kill_two_of_three": killed, "throughput": rates}
    write(to_json(tree), RESULT)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        seconds, dead = map(float, sys.argv[3:5])
        work(sys.argv[2], Sleeper(seconds), WorkerOptions(idle=None, pause=0.1, beat=BEAT, dead=dead, alone=False))
    else:
        main()
