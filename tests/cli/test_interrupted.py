"""A batch that is killed, that finds the disk full or the folder locked: nothing half-written, nothing lost.

The cloak itself is replaced by a small change, so that what is tested is the batch and not the waiting.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velatura.cli.batch import Batch
from velatura.cli.files import tasks
from velatura.errors import ImageError
from velatura.images import read

HELPER = Path(__file__).with_name("quick_batch.py")


def art(folder: Path, count: int, *, side: int = 32) -> Path:
    folder.mkdir()
    for index in range(count):
        array = np.random.default_rng(index).integers(0, 255, (24, side, 3), np.uint8)
        Image.fromarray(array).save(folder / f"{index:02}.png")
    return folder


def check(out: Path) -> int:
    """Whatever stands there is whole; the number of finished pictures."""
    finished = 0
    for path in out.rglob("*.png"):
        if path.name.endswith("sheet.png"):
            continue
        read(path)
        report = json.loads((path.with_suffix(".report.json")).read_text())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest in (report["output_sha256"], report["replaces_sha256"])
        finished += digest == report["output_sha256"]
    for path in out.rglob("*.report.json"):
        json.loads(path.read_text())
    return finished


def kill_again_and_again(tmp_path: Path, pictures: int, times: int) -> None:
    source, out = art(tmp_path / "art", pictures), tmp_path / "out"
    before = {p: p.read_bytes() for p in source.iterdir()}
    out.mkdir()
    chance = random.Random(5)
    with subprocess.Popen(
        [sys.executable, str(HELPER), str(source), str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        for turn in range(times):
            server.stdin.write(f"{turn % 3}\n")  # three settings in turn: each run replaces the last one's pictures
            server.stdin.flush()
            child = int(server.stdout.readline())
            time.sleep(chance.uniform(0.01, 0.7))
            with contextlib.suppress(ProcessLookupError):  # it may be done already
                os.kill(child, signal.SIGKILL)
            assert server.stdout.readline() in ("-9\n", "0\n")
            check(out)
        server.stdin.write("7\n")
        server.stdin.flush()
        server.stdout.readline()
        assert server.stdout.readline() == "0\n"
        server.stdin.close()
    assert check(out) == pictures
    assert {p: p.read_bytes() for p in source.iterdir()} == before
    assert len(list(out.glob(".velatura-*"))) <= times  # a killed write leaves its temporary name, and nothing more


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_killed_a_few_times(tmp_path):
    kill_again_and_again(tmp_path, 8, 5)


@needs_fork
@pytest.mark.slow
def test_killed_fifty_times_in_a_batch_of_thirty(tmp_path):
    kill_again_and_again(tmp_path, 30, 50)


@pytest.fixture
def quick(monkeypatch):
    """Batches in this process, with the helper's protector."""
    sys.path.insert(0, str(HELPER.parent))
    import quick_batch

    monkeypatch.setattr("velatura.protection.Protector", quick_batch.QuickProtector)
    monkeypatch.setattr("velatura.cli.batch.resolved", lambda settings: settings)
    return quick_batch


def batch(quick, source: Path, out: Path, *, seed: int = 0) -> Batch:
    return Batch(quick.settings(seed), tasks([source], out)[0], quick.OPTIONS, as_json=False)


def test_a_full_disk_costs_one_line_and_what_is_there_stays(tmp_path, quick, monkeypatch, capsys):
    source, out = art(tmp_path / "art", 3), tmp_path / "out"
    assert batch(quick, source, out).run() == 0
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    real, written = os.fsync, []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert batch(quick, source, out, seed=1).run() == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 2
    assert all("No space left on device" in line for line in lines)
    assert check(out) >= 1
    assert {p.name for p in out.iterdir()} == set(first)
    assert batch(quick, source, out, seed=1).run() == 0
    assert check(out) == 3


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, and a function that gives it more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    try:
        yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(tmp_path, quick, small_disk, capsys):
    (out, enlarge), source = small_disk, art(tmp_path / "art", 5, side=256)  # about 18 kB each
    failed = batch(quick, source, out).run()
    assert 1 <= failed <= 4
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == failed
    assert all("No space left on device); choose another folder or free some space" in line for line in lines)
    assert check(out) == 5 - failed
    assert not list(out.glob(".velatura-*"))
    enlarge()
    assert batch(quick, source, out).run() == 0
    assert check(out) == 5


@pytest.mark.skipif(os.name == "nt", reason="no such limit on Windows")
def test_a_quota_costs_one_line(tmp_path, quick, capsys):
    import resource

    source, out = art(tmp_path / "art", 1, side=512), tmp_path / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        assert batch(quick, source, out).run() == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert ".png: cannot be written (File too large); choose another folder or free some space" in line
    assert not (out / "00.png").exists()
    assert not list(out.glob(".velatura-*"))


def test_what_killed_runs_left_is_swept_after_a_while(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    old, new = (tmp_path / "out" / f".velatura-{name}.tmp" for name in ("0123", "4567"))
    pixels = tmp_path / "temporary/velatura-read-x/pixels.v"
    for path in (old, new, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    for path in (old, pixels.parent):
        os.utime(path, (0, 0))
    assert batch(quick, art(tmp_path / "art", 1), tmp_path / "out").run() == 0
    assert (old.exists(), new.exists(), pixels.exists()) == (False, True, False)


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind on Windows")
def test_a_locked_folder_costs_one_line(locked_out, quick):
    source, out = art(locked_out / "art", 1), locked_out / "out"
    out.mkdir(mode=0o500)
    with pytest.raises(ImageError, match=r"cannot be written \(Permission denied\); choose another folder"):
        batch(quick, source, out).run()


def test_a_folder_of_hostile_files_costs_a_line_each_and_leaves_nothing(tmp_path, quick, monkeypatch, capsys):
    """Truncated, mislabelled, bomb-like, empty: the corpora of tests/images, and one good picture among them."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "images"))
    from test_image_errors import BAD
    from test_sandbox import HOSTILE

    monkeypatch.setattr("velatura.protection.results.read_guarded", read)  # a process a file would be most of the time
    source, out = art(tmp_path / "art", 1), tmp_path / "out"
    bad = [source / f"hostile-{name}" for name in HOSTILE]
    for path, (data, _) in zip(bad, HOSTILE.values(), strict=True):
        path.write_bytes(data)
    for name, (made, _) in BAD.items():
        bad.append(source / f"bad-{name}")
        made(bad[-1])
    bad.remove(source / "bad-folder.png")  # an empty folder is no picture
    todo = tasks([source / "00.png", *bad], out)[0]
    assert Batch(quick.settings(0), todo, quick.OPTIONS, as_json=False).run() == len(bad)  # exit status 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if not line.startswith("error: ")] == []
    assert len(lines) == len(bad)
    assert all("; " in line and len(line) < 400 for line in lines)
    assert sorted(path.name for path in out.iterdir()) == ["00.png", "00.report.json", "00.sheet.png"]


def test_links_and_odd_names(tmp_path, quick):
    """A link to a picture is read; a link in the place of an output is never written through; a broken one is said."""
    source, out = art(tmp_path / "art", 1), tmp_path / "out"
    (source / "link.png").symlink_to(source / "00.png")
    (source / "broken.png").symlink_to(source / "nothing.png")
    odd = ["-v.png", " space .png", "a\nb.png", "ü.png", "%s{0}$HOME.png", "x" * 200 + ".png"]
    for name in odd:
        (source / name).write_bytes((source / "00.png").read_bytes())
    target = tmp_path / "precious.png"
    target.write_bytes(b"precious")
    out.mkdir()
    (out / "link.png").symlink_to(target)
    assert batch(quick, source, out).run() == 1  # link.png: something of others stands there
    assert target.read_bytes() == b"precious"
    made = {p.name for p in out.glob("*.png") if not p.name.endswith("sheet.png")}
    assert made == {"00.png", "link.png", *odd}
    failed = batch(quick, source / "broken.png", out).run()
    assert failed == 1
