"""Several workers on a real PostgreSQL, killed and frozen at the worst moments: everything done, nothing twice.

Run with ``pytest -m postgres``; needs Debian's postgresql. The parts are benchmarks/workers.py's.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos", reason="needs the extra web")
from velatura.errors import InputError
from velatura.jobs import heartbeat
from velatura.jobs.files import MARK, Files, files
from velatura.jobs.queue import after_picture, local_queue
from velatura.jobs.records import Picture

spec = importlib.util.spec_from_file_location("bench_workers", Path(__file__).parents[2] / "benchmarks/workers.py")
assert spec is not None
bench: Any = importlib.util.module_from_spec(spec)
sys.modules["bench_workers"] = bench
spec.loader.exec_module(bench)  # type: ignore[union-attr]

pytestmark = pytest.mark.postgres


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    if (lacks := bench.missing()) is not None:
        pytest.skip(lacks)
    monkeypatch.delenv("VELATURA_FILES", raising=False)
    monkeypatch.setenv("VELATURA_DATA", "")  # so that what the shop sets is undone
    with bench.shop() as opened:
        yield opened


def test_two_of_three_workers_die_and_all_is_done_once(shop: Any) -> None:
    found = bench.kill_two_of_three(shop, jobs=40, seconds=1.0)
    assert found["under_way_when_killed"] >= 1  # or nothing was tried
    assert found["done"] == found["files"] == found["deliveries_recorded"] == 40
    assert found["files_written_twice"] == found["jobs_delivered_twice"] == 0
    assert shop.workers[2].poll() is None
    # What was under way at two workers was begun again; no more than that.
    assert found["begun_twice"] <= 2


@pytest.mark.parametrize("name", ["die-inside.png", "die-after.png"])
def test_death_around_the_moment_of_delivery(shop: Any, name: str) -> None:
    """Killed with the file written and the delivery not entered yet, or entered and the picture not done yet."""
    shop.start(2, 0.1)
    job = shop.order("a.png", name, "b.png")
    shop.until(lambda: not shop.queue.store.job(job.id).unfinished)
    shop.look()
    done = shop.queue.store.job(job.id)
    assert [p.state for p in done.pictures] == ["done"] * 3
    assert [p.attempts for p in done.pictures] == [1, 2, 1]
    assert sum(worker.poll() is not None for worker in shop.workers) == 1
    assert all(len(contents) == 1 for contents in shop.seen.values())
    numbers = [number for number, _ in shop.queue.store.deliveries(job.id)]
    assert len(numbers) == len(set(numbers))


def test_a_worker_that_was_frozen_delivers_nothing_when_it_wakes(shop: Any) -> None:
    shop.start(2, 0.1)
    job = shop.order("a.png", "freeze.png", "b.png")
    shop.until(lambda: not shop.queue.store.job(job.id).unfinished)
    frozen = [worker for worker in shop.workers if _state(worker.pid) == "T"]
    assert len(frozen) == 1
    assert len(heartbeat.living(shop.queue.engine)) == 1
    os.kill(frozen[0].pid, signal.SIGCONT)
    assert frozen[0].wait(bench.PATIENCE) == heartbeat.STRUCK_OFF
    shop.look()
    assert all(len(contents) == 1 for contents in shop.seen.values())
    assert len(shop.queue.store.deliveries(job.id)) == 3
    assert {p.state for p in shop.queue.store.job(job.id).pictures} == {"done"}


def test_a_worker_that_is_told_to_stop_hands_over_at_once(shop: Any) -> None:
    shop.start(1, 30.0)
    job = shop.order("a.png")
    shop.until(lambda: shop.queue.store.job(job.id).pictures[0].step >= 1)
    shop.workers[0].terminate()
    assert shop.workers[0].wait(bench.PATIENCE) == 0
    assert heartbeat.living(shop.queue.engine) == []
    shop.start(1, 0.1)
    shop.until(lambda: not shop.queue.store.job(job.id).unfinished)
    assert shop.queue.store.job(job.id).pictures[0].attempts == 1  # being asked to stop is no attempt


def test_files_that_others_cannot_see_stay_with_this_machine(shop: Any, tmp_path: Path) -> None:
    source = tmp_path / "mine.png"
    source.touch()
    job = shop.queue.submit([Picture(0, "mine.png", source, tmp_path / "out.png", "x")], {"settings": {}})
    (waiting,) = shop.queue.client.list_workflows(workflow_id_prefix=job.id)
    assert waiting.queue_name == local_queue("batches")
    shared = shop.order("a.png")
    (waiting,) = shop.queue.client.list_workflows(workflow_id_prefix=shared.id)
    assert waiting.queue_name == "batches"
    shop.start(1, 0.1)
    shop.until(lambda: not shop.queue.store.is_busy())
    assert (tmp_path / "out.png").exists()


def test_users_take_turns_here_too(shop: Any) -> None:
    """As tests/jobs/test_job_engine.py has it on SQLite; here the counting alone."""

    def order(owner: str, count: int) -> str:
        pictures = [Picture(i, "a", files().root / "a", shop.out / f"{owner}{i}", "a") for i in range(count)]
        return str(shop.queue.of(owner).submit(pictures, {"settings": {}}).id)

    many, few, more = order("anna", 3), order("bo", 2), order("anna", 1)
    queued = {w.workflow_id.partition(":")[0]: w.priority for w in shop.queue.client.list_workflows()}
    assert queued == {many: 1, few: 1, more: 4}
    assert after_picture(shop.queue.engine, many) == 2
    assert after_picture(shop.queue.engine, few) is None


def test_a_machine_with_another_folder_is_refused(shop: Any, tmp_path: Path) -> None:
    files().check(shop.queue.engine)
    assert (files().root / MARK).exists()
    files().check(shop.queue.engine)
    with pytest.raises(InputError, match="mount it"):
        Files(str(tmp_path)).check(shop.queue.engine)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_the_clock_is_the_databases(shop: Any) -> None:
    beating = heartbeat.Heartbeat(shop.queue.engine, "someone")
    beating.start()
    (name, ago), *_ = heartbeat.living(shop.queue.engine)
    assert name == "someone"
    assert 0 <= ago < 60
    beating.stop()
