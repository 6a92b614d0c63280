"""The shared server under many users: how long a page takes, errors, memory, while jobs run at lower priority.

    python benchmarks/load.py -o results/load.json

Starts ``velatura serve`` and its worker on loopback, with users of its own in a folder of its own, queues pictures that
keep the worker busy all the time, and has each user ask for a page every ``--every`` seconds. Measures from the first
byte sent to the last received; a minute of warming up is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2 as httpx
import sqlalchemy as sa

from velatura import __version__, weights
from velatura.reports.result import Result, Row, to_json

PORT = 8391
ORIGIN = f"http://127.0.0.1:{PORT}"
PAGES = ["/", "/queue", "/queue/list", "/about", "/artists", "/account", "/api/jobs", "/styles", "/jobs/{job}"]


def serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """The server, and the invitation of its administrator."""
    code = "from velatura.cli import main; main()"
    environment = os.environ | {"VELATURA_DATA": str(folder), "VELATURA_CONFIG": str(folder / "config")}
    command = [sys.executable, "-c", code, "serve", "--port", str(PORT), "--quota-pictures", "100000"]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    token = ""
    for line in server.stderr:
        if found := re.search(r"invitation=(\S+)", line):
            token = found[1]
        if "Ctrl-C" in line:
            break
    threading.Thread(target=server.stderr.read, daemon=True).start()  # else its pipe would fill up
    return server, token


def sessions(folder: Path, count: int) -> list[str]:
    """Cookies of ``count`` users, entered as the server would; a password for each would take minutes of argon2."""
    from velatura.server.shared.accounts import Accounts
    from velatura.server.shared.tables import users

    engine = sa.create_engine(f"sqlite:///{folder / 'jobs.sqlite'}", connect_args={"timeout": 30})
    accounts, found = Accounts(engine, "unused"), []
    for number in range(count):
        row = {"id": f"{number:036d}", "name": f"user {number}", "known_as": f"user {number}", "password": "none"}
        row |= {"webhook_secret": "whsec_", "admin": False, "disabled": False, "created": 0.0, "seen": 0.0}
        with engine.begin() as connection:
            connection.execute(users.insert().values(**row))
        found.append(accounts.begin_session(str(row["id"])))
    return found


async def order(client: httpx.AsyncClient, cookie: str, pictures: int) -> str:
    """A job of ``pictures`` copies of the sample."""
    headers = {"Cookie": f"velatura-session={cookie}", "Origin": ORIGIN}
    data = weights.embedded("sample").read_bytes()
    answer = await client.post("/api/pictures?name=sample.png", content=data, headers=headers, timeout=300)
    answer.raise_for_status()
    jobs = [
        await client.post("/api/jobs", json={"pictures": [answer.json()["id"]]}, headers=headers, timeout=300)
        for _ in range(pictures)
    ]
    return str(jobs[-1].raise_for_status().json()["id"])


class Watch:
    """What the users meet."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.counting = False

    async def user(self, client: httpx.AsyncClient, cookie: str, start: float, every: float, job: str) -> None:
        await asyncio.sleep(start)
        number = secrets.randbelow(len(PAGES))
        while True:
            began = time.perf_counter()
            # The page of a job is another user's to all but the first: a refusal that is looked up all the same.
            path = PAGES[number % len(PAGES)].replace("{job}", job)
            number += 1
            try:
                answer = await client.get(path, headers={"Cookie": f"velatura-session={cookie}"}, timeout=60)
                wrong = answer.status_code not in (200, 404)
                problem = f"{path} {answer.status_code}" if wrong else ""
            except httpx.HTTPError as error:
                problem = f"{path} {type(error).__name__}"
            took = time.perf_counter() - began
            if self.counting:
                self.seconds.append(took)
                self.errors += [problem] if problem else []
            await asyncio.sleep(max(0.0, every - took))


def memory(pid: int) -> float:
    """MiB that a process holds."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


async def measure(folder: Path, arguments: argparse.Namespace, pid: int) -> dict[str, float]:
    cookies = sessions(folder, arguments.users)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=arguments.users)
    async with httpx.AsyncClient(base_url=ORIGIN, limits=limits) as client:
        job = await order(client, cookies[0], arguments.jobs)
        watch = Watch()
        step = arguments.every / arguments.users
        tasks = [
            asyncio.create_task(watch.user(client, cookie, i * step, arguments.every, job))
            for i, cookie in enumerate(cookies)
        ]
        await asyncio.sleep(arguments.warm_up)
        watch.counting, first = True, memory(pid)
        load = [os.getloadavg()[0]]
        for _ in range(4):
            await asyncio.sleep(arguments.seconds / 4)
            load.append(os.getloadavg()[0])
        watch.counting, last = False, memory(pid)
        headers = {"Cookie": f"velatura-session={cookies[0]}"}
        jobs = (await client.get("/api/jobs", headers=headers, timeout=60)).json()
        for task in tasks:
            task.cancel()
    print(*sorted(set(watch.errors)), sep="\n")
    cuts = statistics.quantiles(watch.seconds, n=100)
    return {
        "requests": len(watch.seconds),
        "requests_per_second": len(watch.seconds) / arguments.seconds,
        "errors": len(watch.errors),
        "median_ms": 1000 * cuts[49],
        "p95_ms": 1000 * cuts[94],
        "p99_ms": 1000 * cuts[98],
        "server_mib_at_first": first,
        "server_mib_at_last": last,
        "jobs_open_at_last": sum(job["state"] in ("waiting", "working") for job in jobs),
        "pictures_done": sum(job["done"] for job in jobs),
        "load_average": statistics.mean(load),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--every", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--warm-up", type=float, default=60.0)
    parser.add_argument("--jobs", type=int, default=40, help="of one picture each, queued before")
    parser.add_argument("--flag", action="append", default=[], help="what a reader must know, such as a shared machine")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, _ = serve(Path(folder))
        try:
            for _ in range(600):
                try:
                    httpx.get(f"{ORIGIN}/health", timeout=30).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.5)
            figures = asyncio.run(measure(Path(folder), arguments, server.pid))
        finally:
            server.terminate()  # it ends its worker
            server.wait()
    settings = {name: getattr(arguments, name) for name in ("users", "every", "seconds", "warm_up", "jobs")}
    rows = [Row(name, float(value), int(figures["requests"])) for name, value in figures.items()]
    weights_used = {"mini": weights.sha256(weights.embedded("mini"))}
    result = Result("load", __version__, None, "cpu", settings, weights_used, rows, arguments.flag)
    print(to_json([[row.metric, row.value] for row in rows]))
    if arguments.output:
        result.save(arguments.output)


if __name__ == "__main__":
    main()
