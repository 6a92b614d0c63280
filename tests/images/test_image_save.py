"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from velatura.errors import ImageError
from velatura.images import save


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "out.png"
    save(b"one", path)
    save(b"two", path)
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_fault_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, fault, step):
    path = tmp_path / "out.png"
    save(b"old", path)

    def fail(*_):
        raise fault

    monkeypatch.setattr(os, step, fail)
    with pytest.raises((ImageError, KeyboardInterrupt)) as error:
        save(b"new", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    if error.type is ImageError:
        assert str(error.value).startswith(f"{path}: cannot be written (No space left on device); ")


@pytest.mark.parametrize("where", ["no/such/folder/out.png", "file/out.png", "folder"])
def test_impossible_places(tmp_path, where):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImageError, match="cannot be written") as error:
        save(b"x", tmp_path / where)
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_long_names_are_fine(tmp_path):
    save(b"x", tmp_path / ("n" * 251 + ".png"))


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind on Windows")
def test_read_only_folder(locked_out):
    folder = locked_out / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(ImageError, match="Permission denied"):
        save(b"x", folder / "out.png")
