"""``velatura protect --background``, ``jobs`` and ``watch``, with the real work on tiny pictures."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("dbos", reason="needs the extra web")
from velatura.cli.jobs import jobs_group
from velatura.cli.protect import protect_command
from velatura.cli.watch import Watch, watch_command
from velatura.errors import InputError
from velatura.images import save
from velatura.jobs import queue as queues
from velatura.jobs.queue import JobQueue
from velatura.protection.panels import png
from velatura.reports.places import report_at

TINY = ["-m", "mini", "--effort", "fast", "--resolution", "64"]
PATIENCE = 600.0  # seconds; a busy machine is no failure


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELATURA_DATA", str(tmp_path / "data"))


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker is started: orders stay where they are."""
    monkeypatch.setattr(queues.JobQueue, "call_worker", lambda self: None)
    monkeypatch.setattr(queues.JobQueue, "ensure_worker", lambda self: None)


@pytest.fixture
def art(tmp_path: Path, make_scene) -> Path:
    (tmp_path / "art/sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "sub/b.png", "c.png")):
        save(png(make_scene(64, 64, number)), tmp_path / "art" / name)
    return tmp_path / "art"


def run(command: click.Command, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_queued_listed_cancelled_resumed(art: Path, tmp_path: Path, idle: None) -> None:
    assert "no jobs" in run(jobs_group, "list").output
    done = run(protect_command, art, "-o", tmp_path / "out", *TINY, "--background")
    assert done.exit_code == 0, done.output
    id = done.stdout.strip()
    assert "queued 3 pictures" in done.stderr
    assert f"{id[:8]}" in run(jobs_group, "list").stdout
    assert "0 of 3 done" in run(jobs_group, "list").stdout
    shown = json.loads(run(jobs_group, "show", id[:6], "--json").stdout)
    assert [p["name"] for p in shown["pictures"]] == ["a.png", "c.png", "b.png"]
    assert shown["pictures"][2]["output"] == str(tmp_path / "out/sub/b.png")
    assert run(jobs_group, "cancel", id).exit_code == 0
    assert "cancelled" in run(jobs_group, "show", id).stdout
    again = run(jobs_group, "cancel", id)
    assert isinstance(again.exception, InputError)
    assert "is cancelled" in str(again.exception)
    assert run(jobs_group, "resume", id).exit_code == 0
    assert "waiting" in run(jobs_group, "show", id).stdout
    assert isinstance(run(protect_command, "-", *TINY, "--background").exception, InputError)


def test_models_are_the_foreground_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from velatura.cli.background import Background
    from velatura.protection import Settings

    monkeypatch.chdir(tmp_path)
    for name in ("auto", "mini", "taesd", "mine"):
        (tmp_path / name).mkdir()
    asked = ("auto", "mini", "taesd", "mine", "somebody/model")
    settings = Settings(models=asked, painter="mine")
    order = Background(None, settings, tmp_path / "out", {"keep_target": False, "force": False}).order["settings"]
    mine = str(tmp_path / "mine")
    assert (order["models"], order["painter"]) == (["auto", "mini", "taesd", mine, "somebody/model"], mine)


def test_watch_waits_until_a_file_is_complete(art: Path, tmp_path: Path, idle: None) -> None:
    from velatura.cli.background import Background
    from velatura.protection import Settings

    out = art / "protected"  # inside the folder that is watched
    background = Background(None, Settings(), out, {"keep_target": False, "force": False})
    watch = Watch(background, art, out, settle=0.2)
    store = background.queue.store
    assert not watch.look()
    assert store.jobs() == []  # seen once: may be growing still
    with (art / "late.png").open("wb") as file:
        file.write(b"half")
        file.flush()
        time.sleep(0.25)
        watch.look()
        file.write(b" and half")
    watch.look()
    assert [len(job.pictures) for job in store.jobs()] == [3]  # those that had been there; late.png had grown
    time.sleep(0.25)
    watch.look()
    assert [p.name for p in store.jobs()[0].pictures] == ["late.png"]
    watch.look()
    fresh = Watch(background, art, out, settle=0)
    fresh.look()
    assert len(store.jobs()) == 2  # nothing twice, not even by another watch
    (art / "late.png").write_bytes(b"changed")
    fresh.look()
    assert len(store.jobs()) == 3


def test_watch_again_does_what_failed_was_deleted_or_is_asked_otherwise(
    art: Path, tmp_path: Path, idle: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from velatura.cli.background import Background
    from velatura.protection import Settings

    (art / "drawing.kra").write_bytes(b"of another kind")

    def watch(settings: Settings) -> Watch:
        background = Background(None, settings, tmp_path / "out", {"keep_target": False, "force": False})
        return Watch(background, art, tmp_path / "out", settle=0)

    first = watch(Settings())
    first.look()
    store = first.background.queue.store
    job = store.jobs()[0]
    for picture, state in zip(job.pictures, ("done", "done", "failed"), strict=True):
        picture.output.parent.mkdir(parents=True, exist_ok=True)
        picture.output.write_bytes(b"protected")
        summary = {"verdict": {"sentence": "protected"}}
        store.set_picture(job.id, picture.number, state=state, error="broken" * (state == "failed"), summary=summary)
    store.set_job(job.id, 1, state="done")
    assert first.look()  # what failed is not queued at every look
    assert len(store.jobs()) == 1
    assert capsys.readouterr().err.count("drawing.kra") == 1
    job.pictures[0].output.unlink()
    again = watch(Settings(device="cpu"))
    again.look()
    assert [p.name for p in store.jobs()[0].pictures] == [job.pictures[0].name, job.pictures[2].name]
    watch(Settings(budget=0.05)).look()
    assert [len(job.pictures) for job in store.jobs()] == [3, 2, 3]


def test_a_report_is_read_again_only_when_it_has_changed(
    art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from velatura.cli import files

    reads: list[Path] = []
    monkeypatch.setattr(files, "report_at", lambda path: reads.append(path) or report_at(path))
    report = tmp_path / "out/a.report.json"
    report.parent.mkdir()
    report.write_text('{"velatura": "1", "output_sha256": "", "output": "a.png", "source_id": "another"}')
    for _ in range(3):
        assert [task.output.name for task in files.tasks([art / "a.png"], tmp_path / "out")[0]] == ["a-2.png"]
    assert reads == [report]
    report.write_text("{}")
    assert [task.output.name for task in files.tasks([art / "a.png"], tmp_path / "out")[0]] == ["a.png"]


def test_watch_needs_a_folder_to_write_to(art: Path) -> None:
    assert run(watch_command, art).exit_code == 2
    assert run(watch_command, art / "none", "-o", art).exit_code == 2


def test_killed_in_earnest_and_resumed(art: Path, tmp_path: Path) -> None:
    """The real thing: three pictures, SIGKILL in the middle of the second, all three the same as without it."""
    queue = JobQueue()
    done = run(protect_command, art, "-o", tmp_path / "out", *TINY, "--background", "-q")
    id = done.stdout.strip()
    end = time.monotonic() + PATIENCE

    def wait(until) -> None:  # type: ignore[no-untyped-def]
        while not until(queue.store.find(id)):
            assert time.monotonic() < end, queue.store.find(id)
            time.sleep(0.02)

    wait(lambda job: job.count("done") == 1 and job.pictures[1].state == "working")
    first = (tmp_path / "out/a.png").stat().st_mtime_ns
    log = (tmp_path / "data/worker.log").read_text()
    os.kill(worker_pid(), signal.SIGKILL)
    assert queue.store.find(id).unfinished
    assert run(jobs_group, "resume", id[:8]).exit_code == 0  # starts another worker
    wait(lambda job: not job.unfinished)
    worker = worker_pid()
    try:
        job = queue.store.find(id)
        assert [p.state for p in job.pictures] == ["done"] * 3, (job, log)
        assert (tmp_path / "out/a.png").stat().st_mtime_ns == first  # what was done stayed
        reports = [json.loads(p.read_text()) for p in (tmp_path / "out").rglob("*.report.json")]
        assert len({report["style"]["name"] for report in reports}) == 1
        assert all((tmp_path / "out").joinpath(f"{name}.sheet.png").exists() for name in ("a", "sub/b", "c"))
        assert not list((tmp_path / "out").rglob("*.tmp"))
        # A watch of the same folder, with the same worker: nothing new but what was never done.
        save((art / "a.png").read_bytes(), art / "d.png")
        seen = run(watch_command, art, "-o", tmp_path / "out", *TINY, "--once", "--settle", "0")
        assert seen.exit_code == 0, seen.output
        assert "d.png: " in seen.stdout
        assert len(queue.store.jobs()) == 2
        assert [len(j.pictures) for j in queue.store.jobs()] == [1, 3]
        assert json.loads((tmp_path / "out/d.report.json").read_text())["style"]["name"] == reports[0]["style"]["name"]
    finally:
        os.kill(worker, signal.SIGTERM)


def worker_pid() -> int:
    """The worker of this test's data folder, by its environment."""
    data = f"VELATURA_DATA={os.environ['VELATURA_DATA']}\0".encode()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if b"velatura.jobs.worker" in (place / "cmdline").read_bytes() and data in (place / "environ").read_bytes():
                return int(place.name)
        except OSError:
            continue
    raise AssertionError("no worker is running")
