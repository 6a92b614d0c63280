"""The engine alone, with a stand-in for the work: order, progress, kill -9, retries, cancel, resume, expiry."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

pytest.importorskip("dbos", reason="needs the extra web")
from velatura.errors import ImageError, InputError
from velatura.jobs.attempt import _once, line
from velatura.jobs.database import jobs
from velatura.jobs.expiry import has_expired, sweep
from velatura.jobs.files import files
from velatura.jobs.lease import DeviceLock, Lease
from velatura.jobs.queue import JobQueue, after_picture, folder_of
from velatura.jobs.records import Job, Picture, Upload
from velatura.jobs.store import Store

PATIENCE = 120.0  # seconds; a busy machine is no failure


class Bench:
    """A queue on a database of its own, and workers to start and kill."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.diary = folder, folder / "diary"
        self.queue = JobQueue()
        self.workers: list[subprocess.Popen[bytes]] = []

    def order(self, *names: str, kind: str = "protect", key: str | None = None, queue: JobQueue | None = None) -> Job:
        pictures = []
        for number, name in enumerate(names):
            source = self.folder / name
            source.write_bytes(name.encode())
            pictures.append(Picture(number, name, source, self.folder / "out" / name, source.stem))
        return (queue or self.queue).submit(pictures, {"settings": {}}, kind=kind, key=key)  # type: ignore[arg-type]

    def start(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("stand_in.py")
        worker = subprocess.Popen([sys.executable, str(script), self.queue.url, str(self.diary)])
        self.workers.append(worker)
        return worker

    def notes(self) -> list[str]:
        return self.diary.read_text().splitlines() if self.diary.exists() else []

    def wait(self, job: Job, until: Callable[[Job], bool] = lambda job: not job.unfinished) -> Job:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            now = self.queue.store.job(job.id)
            assert now is not None
            if until(now):
                return now
            time.sleep(0.05)
        raise AssertionError(f"waited {PATIENCE} s in vain: {now}")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("VELATURA_DATA", str(tmp_path / "data"))
    bench = Bench(tmp_path)
    yield bench
    for worker in bench.workers:
        worker.kill()
        worker.wait()


def test_failures_stay_with_their_picture_and_retries_end(bench: Bench) -> None:
    job = bench.order("a.png", "bad.png", "weary.png", "doomed.png", "b.png")
    bench.start()
    done = bench.wait(job)
    assert done.state == "done"
    assert [p.state for p in done.pictures] == ["done", "failed", "done", "failed", "done"]
    assert "cannot be decoded" in done.pictures[1].error
    assert bench.notes().count("begin bad.png") == 1
    assert bench.notes().count("begin weary.png") == 3
    assert bench.notes().count("begin doomed.png") == 3
    assert "given up after 3 attempts: no space left" in done.pictures[3].error
    assert (bench.folder / "out/b.png").read_bytes() == b"b.png"
    assert done.share == 1
    assert done.seconds_left == 0
    # A retry works on what failed, and on that alone.
    assert bench.queue.resume(job.id)
    again = bench.wait(job)
    assert again.run == 2
    assert bench.notes().count("begin doomed.png") == 6
    assert bench.notes().count("end a.png") == 1
    assert bench.notes().count("choose") == 1


def test_kill_9_loses_nothing_and_redoes_one_picture(bench: Bench) -> None:
    job = bench.order("a.png", "b.png", "slow.png", "c.png")
    worker = bench.start()
    half = bench.wait(job, lambda job: job.pictures[2].step >= 1)
    assert half.state == "working"
    assert half.count("done") == 2
    assert 0.5 < half.share < 0.75
    assert half.seconds_left is not None
    assert half.seconds_left > 0
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert bench.queue.store.job(job.id).unfinished  # type: ignore[union-attr]
    bench.start()
    done = bench.wait(job)
    assert [p.state for p in done.pictures] == ["done"] * 4
    notes = bench.notes()
    assert [notes.count(f"begin {name}") for name in ("a.png", "b.png", "slow.png", "c.png")] == [1, 1, 2, 1]
    assert notes.count("choose") == 1
    assert all(notes.count(f"end {name}") == 1 for name in ("a.png", "b.png", "slow.png", "c.png"))


def test_a_picture_that_kills_the_worker_is_given_up(bench: Bench) -> None:
    job = bench.order("deadly.png", "a.png")
    for _ in range(3):
        assert bench.start().wait(PATIENCE) == 9
    bench.start()
    done = bench.wait(job)
    assert [p.state for p in done.pictures] == ["failed", "done"]
    assert "the program ended" in done.pictures[0].error


def test_cancel_stops_within_a_picture_and_resume_goes_on(bench: Bench) -> None:
    job, later = bench.order("a.png", "slow.png", "b.png"), bench.order("z.png")
    bench.start()
    bench.wait(job, lambda job: job.pictures[1].step >= 1)
    assert bench.queue.cancel(job.id)
    assert not bench.queue.cancel(job.id)
    assert bench.wait(later).state == "done"  # the queue goes on
    stopped = bench.queue.store.job(job.id)
    assert stopped is not None
    assert (stopped.state, [p.state for p in stopped.pictures]) == ("cancelled", ["done", "waiting", "waiting"])
    assert "end slow.png" not in bench.notes()
    assert bench.queue.resume(job.id)
    assert bench.wait(job).count("done") == 3
    assert bench.notes().count("end a.png") == 1


def test_a_preview_goes_before_the_rest_of_a_picture(bench: Bench) -> None:
    job = bench.order("slow.png", "a.png")
    bench.start()
    bench.wait(job, lambda job: job.pictures[0].step >= 1)
    preview = bench.order("look.png", kind="preview")
    bench.wait(preview)
    bench.wait(job)
    notes = bench.notes()
    assert notes.index("begin slow.png") < notes.index("end look.png") < notes.index("end slow.png")


def test_users_take_turns_and_a_kill_changes_nothing(bench: Bench) -> None:
    anna, bo = bench.queue.of("anna"), bench.queue.of("bo")
    many = bench.order(*(f"a{i}.png" for i in range(8)), queue=anna)
    more = bench.order(*(f"c{i}.png" for i in range(2)), queue=anna)  # not a turn of its own
    few = bench.order("b0.png", "slow.png", "b2.png", queue=bo)
    worker = bench.start()
    bench.wait(few, lambda job: job.pictures[1].step >= 1)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    bench.start()
    bench.wait(few)
    assert all(bench.wait(job).state == "done" for job in (many, more))
    ends = [note for note in bench.notes() if note.startswith("end")]
    assert 2 <= ends.index("end b2.png") - 2 <= 4  # about as many of Anna's as Bo's were before it, not all ten
    assert len(ends) == len(set(ends)) == 13
    assert ends.index("end a7.png") < ends.index("end c0.png")  # a user's own come in their order
    assert bench.notes().count("choose") == 3


def test_places_in_the_queue(bench: Bench) -> None:
    """Pictures are counted on each user's own line; who comes late has missed nothing, and owes nothing."""
    anna, bo, cy = (bench.queue.of(name) for name in ("anna", "bo", "cy"))
    engine = bench.queue.engine
    first = bench.order("a.png", "b.png", "c.png", queue=anna)
    assert after_picture(engine, first.id) is None  # nobody else waits
    second = bench.order("d.png", queue=anna)
    bos = bench.order("e.png", "f.png", "g.png", queue=bo)

    def places() -> dict[str, int]:
        with engine.connect() as connection:
            return dict(connection.execute(sa.select(jobs.c.id, jobs.c.turn)).tuples().all())

    # Of the first, one is counted; here it is not entered as done, so that three are left.
    assert places() == {first.id: 2, second.id: 5, bos.id: 2}
    assert after_picture(engine, first.id) == 3  # Bo's has fallen behind
    bench.queue.store.set_picture(bos.id, 0, state="working")
    assert after_picture(engine, first.id) is None  # at work elsewhere
    assert bench.queue.cancel(bos.id)
    assert bench.queue.resume(bos.id)
    assert places()[bos.id] == 4  # the lowest that waits
    assert bench.queue.cancel(first.id)
    late = bench.order("h.png", queue=cy)
    assert places()[late.id] == 4
    mine = Picture(0, "x", bench.folder / "x", bench.folder / "y", "x")
    look = bench.queue.submit([mine], {"settings": {}}, kind="preview")
    assert places()[look.id] is None


def test_being_asked_to_stop_is_no_attempt(bench: Bench) -> None:
    job = bench.order("slow.png")
    for _ in range(2):
        worker = bench.start()
        bench.wait(job, lambda job: job.pictures[0].step >= 1)
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
        stopped = bench.queue.store.job(job.id)
        assert stopped is not None
        assert (stopped.pictures[0].attempts, stopped.pictures[0].state) == (0, "waiting")


def test_an_attempt_of_an_earlier_run_changes_nothing(bench: Bench) -> None:
    """Another worker resumed the job: attempts are counted anew there, so a number does not tell them apart."""
    job, store = bench.order("a.png"), bench.queue.store
    assert store.begin_picture(job.id, 0) == 1
    bench.queue.cancel(job.id)
    assert bench.queue.resume(job.id)
    assert store.begin_picture(job.id, 0) == 1
    assert not store.set_picture(job.id, 0, 1, 1, state="waiting")
    assert store.job(job.id).pictures[0].state == "working"  # type: ignore[union-attr]
    assert store.set_picture(job.id, 0, 1, 2, state="done")


def test_what_is_told_of_an_error_says_nothing_of_places(bench: Bench) -> None:
    root = files().root
    picture = Picture(0, "my art.png", root / "uploads/1/source.png", root / "out.png", "one")
    assert line(ImageError(f"{picture.source}: is empty"), picture) == "my art.png: is empty"
    said = line(OSError(28, "No space left on device", str(root / "jobs/7/out.png")))
    assert said == "[Errno 28] No space left on device: '...'"


def test_one_worker_on_a_machine(bench: Bench) -> None:
    job = bench.order("slow.png", "a.png")
    first = bench.start()
    bench.wait(job, lambda job: job.pictures[0].step >= 1)
    assert bench.queue.ensure_worker() is None
    bench.wait(job)
    assert first.wait(PATIENCE) == 0  # idle for a second


def test_the_same_key_is_the_same_job(bench: Bench) -> None:
    first, second = bench.order("a.png", key="k"), bench.order("a.png", key="k")
    assert first.id == second.id
    assert bench.order("a.png", key="other").id != first.id
    assert len(bench.queue.store.jobs()) == 2
    with pytest.raises(InputError, match="one picture or more"):
        bench.queue.submit([], {})


def test_jobs_are_found_by_the_beginning_of_their_id(bench: Bench) -> None:
    job = bench.order("a.png")
    assert bench.queue.store.find(job.id[:8]).id == job.id
    for wrong in ("nothing", "%"):
        with pytest.raises(InputError, match="expected the id of one job"):
            bench.order("b.png") and bench.queue.store.find(wrong)


def test_what_has_expired_is_deleted_and_nothing_else(bench: Bench) -> None:
    kept = bench.order("a.png")
    old = bench.order("b.png")
    assert bench.queue.cancel(old.id)
    folder_of(old.id).mkdir(parents=True)
    for name, expires in (("old", 1.0), ("new", 9e9)):
        place = bench.folder / name
        place.mkdir()
        (place / "source.png").write_bytes(b"")
        upload = Upload(name, f"{name}.png", place / "source.png", "png", 1, 1, 0, 0.0, expires)
        bench.queue.store.add_upload(upload)
    assert sweep(bench.queue.store, now=2.0) == (0, 1)
    assert not (bench.folder / "old").exists()
    assert (bench.folder / "new/source.png").exists()
    assert sweep(bench.queue.store, now=time.time() + 40 * 86400) == (1, 0)
    assert not folder_of(old.id).exists()
    assert bench.queue.store.job(kept.id) is not None  # it waits still
    assert (bench.folder / "b.png").exists()  # the user's own file


def handed_in(queue: JobQueue, name: str, expires: float = 1.0) -> Upload:
    path = files().root / "uploads" / name / "source.png"
    path.parent.mkdir(parents=True)
    path.touch()
    queue.store.add_upload(Upload(name, "a.png", path, "png", 1, 1, 0, 0.0, expires))
    return queue.store.uploads([name])[0]


def test_the_time_of_a_job_begins_when_it_is_over(bench: Bench) -> None:
    """However long it waited; and its originals stay with it."""
    queue, store, day, now = bench.queue, bench.queue.store, 86400.0, time.time()
    upload, seen = handed_in(queue, "u"), handed_in(queue, "seen")
    picture = Picture(0, "a", upload.path, bench.folder / "o", "a")
    job = queue.submit([picture], {}, keep_days=1)
    look = queue.submit([Picture(0, "a", seen.path, bench.folder / "p", "a")], {}, kind="preview", keep_days=1)
    assert sweep(store, now + 10 * day) == (0, 0)
    assert store.set_job(look.id, 1, state="done", finished=now)
    assert store.set_job(job.id, 1, state="done", finished=now + 10 * day)
    assert sweep(store, now + 10.5 * day) == (1, 1)  # a preview holds on to nothing
    assert store.uploads(["u", "seen"]) == [upload]
    assert not has_expired(store)
    bench.queue.resume(job.id)
    assert queue.cancel(job.id)
    assert sweep(store, now + 10.9 * day) == (0, 0), "none is made shorter"
    assert sweep(store, now + 11.1 * day) == (1, 1)
    assert not upload.path.exists()


def test_what_a_user_deletes_and_cannot_be_yet_is_shown_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, store = bench.queue, bench.queue.store
    upload = handed_in(queue, "u", 9e9)
    picture = Picture(0, "a", upload.path, bench.folder / "o", "a")
    job = queue.submit([picture], {}, key="k")
    folder_of(job.id).mkdir(parents=True)
    assert queue.cancel(job.id)
    with monkeypatch.context() as busy:
        busy.setattr("shutil.rmtree", lambda *_, **__: None)  # held open by someone, say
        assert queue.delete(job.id)
    assert (store.job(job.id), store.jobs(), store.all_uploads(), store.by_key("k")) == (None, [], [], None)
    assert upload.path.exists()
    assert has_expired(store)
    assert queue.submit([picture], {}, key="k").id != job.id
    assert sweep(store) == (1, 1)
    assert not upload.path.exists()
    assert not folder_of(job.id).exists()


def test_older_jobs_come_page_by_page_and_none_that_is_unfinished_is_missing(bench: Bench) -> None:
    picture = Picture(0, "x", bench.folder / "x", bench.folder / "y", "x")
    ids = [bench.queue.submit([picture], {}).id for _ in range(6)][::-1]  # newest first
    for id in ids[:-1]:
        bench.queue.cancel(id)
    store = bench.queue.store
    assert [job.id for job in store.jobs(most=2)] == [*ids[:2], ids[-1]]
    assert [job.id for job in store.jobs(most=2, also=[ids[4]])] == [*ids[:2], *ids[4:]]
    second = store.jobs(most=2, before=store.jobs(most=2)[1].created)
    assert [job.id for job in second] == ids[2:4]
    assert [job.id for job in store.jobs(most=6)] == ids


class Away:
    """An engine whose database is away for the next few calls."""

    def __init__(self, engine: sa.Engine, calls: int) -> None:
        self.engine, self.calls = engine, calls

    def __getattr__(self, name: str) -> object:
        if name in ("connect", "begin") and self.calls:
            self.calls -= 1
            raise sa.exc.OperationalError("", {}, Exception("the server closed the connection"))
        return getattr(self.engine, name)


def test_a_moment_without_the_database_ends_no_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velatura.jobs.database.time.sleep", lambda _: None)
    job = bench.order("a.png")
    away: Any = Away(bench.queue.engine, 2)
    store = Store(away, patience=60.0)
    assert store.begin_picture(job.id, 0) == 1
    away.calls = 3
    picture = bench.queue.store.job(job.id).pictures[0]  # type: ignore[union-attr]
    lease = Lease(store, DeviceLock(), job, picture, 1, "worker")

    def work(*_: object) -> dict[str, Any]:
        away.calls = 1
        raise sa.exc.OperationalError("", {}, Exception("gone"))

    assert not _once(lease, work)
    assert store.job(job.id).pictures[0].state == "waiting"  # type: ignore[union-attr]
    with pytest.raises(sa.exc.OperationalError):  # a page does not wait
        Store(Away(bench.queue.engine, 1)).job(job.id)  # type: ignore[arg-type]


def test_a_job_that_no_queue_knows_is_queued_again(bench: Bench) -> None:
    job, other, look = bench.order("a.png"), bench.order("b.png"), bench.order("c.png", kind="preview")
    bench.queue.recover()
    assert bench.queue.store.job(job.id).run == 1  # type: ignore[union-attr]
    for lost in (job, look):  # as after an error that could not be entered
        bench.queue.store.set_job(lost.id, 1, state="working")
        bench.queue.client.cancel_workflow(f"{lost.id}:1")
    bench.queue.recover()
    runs = [bench.queue.store.job(id).run for id in (job.id, other.id)]  # type: ignore[union-attr]
    assert runs == [2, 1]
    assert bench.queue.store.job(look.id).state == "cancelled"  # type: ignore[union-attr]
    bench.start()
    assert [bench.wait(one).state for one in (job, other)] == ["done", "done"]


def test_an_application_that_ends_leaves_the_command_lines_work_alone(bench: Bench) -> None:
    job = bench.order("slow.png")
    worker = bench.start()
    bench.wait(job, lambda job: job.pictures[0].step >= 1)
    with bench.queue.engine.begin() as connection:
        connection.execute(jobs.update().values(order={"settings": {}, "folder": "/art"}))
    bench.queue.end_worker(worker)
    assert worker.poll() is None
    with bench.queue.engine.begin() as connection:
        connection.execute(jobs.update().values(order={"settings": {}}))
    bench.queue.end_worker(worker)
    assert worker.poll() == 0  # it has handed over


def test_a_database_out_of_reach_is_one_line() -> None:
    for url, says in (("mysql://x", "expected sqlite"), ("sqlite:////proc/none/x.sqlite", "cannot be used")):
        with pytest.raises(InputError, match=says):
            JobQueue(url)
    with pytest.raises(InputError) as caught:
        JobQueue("mysql://me:secret@host/x")
    assert "secret" not in str(caught.value)


def test_names_that_are_not_utf8_are_kept(bench: Bench) -> None:
    source = Path(os.fsdecode(os.fsencode(bench.folder) + b"/caf\xe9.png"))
    job = bench.queue.submit([Picture(0, "caf.png", source, source, source.stem)], {})
    kept = bench.queue.store.job(job.id)
    assert kept is not None
    assert kept.pictures[0].source == source


def test_those_in_a_hurry_go_first() -> None:
    import threading

    device_lock, order = DeviceLock(), []

    def take(name: str, hurry: bool) -> None:
        with device_lock.held(hurry=hurry):
            order.append(name)

    with device_lock.held():
        others = [threading.Thread(target=take, args=(n, h)) for n, h in (("calm", False), ("hurried", True))]
        for thread in others:
            thread.start()
        while device_lock.hurried == 0:
            time.sleep(0.01)
        device_lock.give_way()
        order.append("first")
    for thread in others:
        thread.join()
    assert order[0] == "hurried"
    assert sorted(order) == ["calm", "first", "hurried"]
