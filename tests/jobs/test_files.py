"""Where files lie: relative to a root that machines mount where they like, or behind any URL of fsspec's."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import fsspec
import pytest

pytest.importorskip("dbos", reason="needs the extra web")
from velatura.errors import VelaturaError
from velatura.jobs.expiry import deleted, has_expired, sweep, sweep_machine
from velatura.jobs.files import Files, files
from velatura.jobs.lease import DeviceLock, Lease
from velatura.jobs.queue import JobQueue, folder_of
from velatura.jobs.records import Picture, Upload


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobQueue:
    monkeypatch.setenv("VELATURA_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("VELATURA_FILES", raising=False)
    return JobQueue()


def test_a_root_may_be_mounted_elsewhere(queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for root in (here, there):
        (root / "art").mkdir(parents=True)
    monkeypatch.setenv("VELATURA_FILES", str(here))
    odd = os.fsdecode(b"caf\xe9.png")  # a name need not be UTF-8
    pictures = [
        Picture(0, "a", here / "art" / odd, here / "out/a.png", "a"),
        Picture(1, "b", tmp_path / "b", here, "b"),
    ]
    job = queue.submit(pictures, {})
    monkeypatch.setenv("VELATURA_FILES", f"file://{there}")
    moved = queue.store.job(job.id)
    assert moved is not None
    assert moved.pictures[0].source == there / "art" / odd
    assert moved.pictures[0].output == there / "out/a.png"
    assert moved.pictures[1].source == tmp_path / "b"  # outside: as it is


def test_a_mirror_fetches_and_delivers(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """One machine hands in, another works, a third shows; each with a mirror of its own of a place in memory."""
    url = f"memory://{uuid.uuid4().hex}"
    monkeypatch.setenv("VELATURA_FILES", url)
    remote = fsspec.filesystem("memory")
    mine = files()
    source, output = mine.root / "uploads/1/source.png", mine.root / "jobs/1/0.png"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"a picture")
    mine.push(source)
    job = queue.submit([Picture(0, "a", source, output, "0")], {})
    source.unlink()  # another machine has not seen it yet
    store = queue.store
    assert store.begin_picture(job.id, 0) == 1
    lease = Lease(store, DeviceLock(), job, job.pictures[0], 1, "worker")
    lease.fetch()
    assert source.read_bytes() == b"a picture"
    with lease.claim():
        output.parent.mkdir(parents=True)
        output.write_bytes(b"protected")
        job.pictures[0].task.beside("report.json").write_text("{}")
    base = f"/{url.removeprefix('memory://')}"
    assert remote.cat(f"{base}/jobs/1/0.png") == b"protected"
    assert remote.exists(f"{base}/jobs/1/0.report.json")
    output.unlink()
    mine.pull(output)
    assert output.read_bytes() == b"protected"
    assert mine.remove(output.parent)
    assert not remote.exists(f"{base}/jobs/1")
    mine.pull(output)  # what is nowhere is not there
    assert not output.exists()


def test_a_delivery_that_is_cut_short_is_known_as_ours(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine finds the report, or nothing: a result without one would stand in its way for good."""
    monkeypatch.setenv("VELATURA_FILES", f"memory://{uuid.uuid4().hex}")
    root, sent = files().root, []
    job = queue.submit([Picture(0, "a", root / "a.png", root / "jobs/1/0.png", "0")], {})
    queue.store.begin_picture(job.id, 0)
    task = job.pictures[0].task
    monkeypatch.setattr(Files, "push", lambda _, *paths: sent.extend(path.name for path in paths if path.exists()))
    with Lease(queue.store, DeviceLock(), job, job.pictures[0], 1, "worker").claim():
        task.output.parent.mkdir(parents=True)
        for path in (task.output, task.beside("after.png"), task.beside("report.json")):
            path.touch()
    assert sent == ["0.report.json", "0.after.png", "0.png"]


def test_a_mirror_forgets_what_no_row_names(queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELATURA_FILES", f"memory://{uuid.uuid4().hex}")
    root = files().root
    kept = queue.submit([Picture(0, "a", tmp_path / "a", tmp_path / "o", "a")], {}).id
    places = [folder_of(kept), folder_of("gone"), root / "uploads/gone", root / "uploads/arriving"]
    for place in places:
        place.mkdir(parents=True)
    for place in places[:3]:
        os.utime(place, (time.time() - 90_000,) * 2)
    sweep_machine(queue.store)
    assert [place.exists() for place in places] == [True, False, False, True]


def test_decoded_pixels_of_a_killed_process_go(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    old, new = tmp_path / "velatura-read-old", tmp_path / "velatura-read-new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (time.time() - 90_000,) * 2)
    sweep(queue.store)
    assert [old.exists(), new.exists()] == [False, True]


def test_a_place_out_of_reach_is_one_line() -> None:
    with pytest.raises(VelaturaError, match="fsspec cannot reach it"):
        Files("nonsense://x")


def test_only_the_latest_attempt_may_deliver(queue: JobQueue, tmp_path: Path) -> None:
    job = queue.submit([Picture(0, "a", tmp_path / "a", tmp_path / "o", "a")], {})
    leases = []
    for attempt in (1, 2):
        assert queue.store.begin_picture(job.id, 0) == attempt
        leases.append(Lease(queue.store, DeviceLock(), job, job.pictures[0], attempt, f"worker {attempt}"))
    written = []
    with pytest.raises(VelaturaError, match="taken this picture over"), leases[0].claim():
        written.append("late")
    with pytest.raises(VelaturaError, match="taken this picture over"):
        leases[0].enter(state="failed")
    with leases[1].claim():
        written.append("in time")
    assert written == ["in time"]
    assert queue.store.deliveries(job.id) == [(0, "worker 2")]
    queue.cancel(job.id)
    with pytest.raises(VelaturaError, match="taken this picture over"), leases[1].claim():
        written.append("cancelled")
    # A write that fails is no delivery.
    other = queue.submit([Picture(0, "a", tmp_path / "a", tmp_path / "o", "a")], {})
    queue.store.begin_picture(other.id, 0)
    lease = Lease(queue.store, DeviceLock(), other, other.pictures[0], 1, "worker")
    with pytest.raises(OSError, match="full"), lease.claim():
        raise OSError("the disk is full")
    assert queue.store.deliveries(other.id) == []


def test_what_cannot_be_deleted_now_is_tried_again(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    place = files().root / "uploads/old"
    place.mkdir(parents=True)
    queue.store.add_upload(Upload("old", "a.png", place / "source.png", "png", 1, 1, 0, 0.0, 1.0))
    assert has_expired(queue.store)
    with monkeypatch.context() as busy:
        busy.setattr("shutil.rmtree", lambda *_, **__: None)  # held open by someone, say
        assert sweep(queue.store) == (0, 0)
    assert has_expired(queue.store)
    assert sweep(queue.store) == (0, 1)
    assert not place.exists()
    assert not has_expired(queue.store)


def test_what_a_crash_left_over_is_deleted_in_time(queue: JobQueue, tmp_path: Path) -> None:
    """A picture that never arrived in full, and what a worker wrote of a job after that was deleted."""
    job = queue.submit([Picture(0, "a", tmp_path / "a", tmp_path / "o", "a")], {})
    assert queue.cancel(job.id)
    assert queue.delete(job.id)
    # Of another database that keeps its files in the same place: none of our business, however old.
    others = [folder_of("anothers"), files().root / "uploads/anothers"]
    mine = [folder_of(job.id), files().root / "uploads/broken", files().root / "uploads/arrives"]
    for folder in others + mine:
        folder.mkdir(parents=True)
    for folder in mine[1:]:
        (folder / "arriving").touch()
    for path in (*others, mine[0], mine[1] / "arriving"):
        os.utime(path, (time.time() - 90_000,) * 2)
    assert not has_expired(queue.store)
    sweep(queue.store)
    assert [folder.exists() for folder in mine] == [True, False, True]
    sweep(queue.store, time.time() + 3700)
    assert [folder.exists() for folder in mine] == [False, False, True]
    assert all(folder.exists() for folder in others)
    assert deleted(queue.store, time.time() + 3700) == []
