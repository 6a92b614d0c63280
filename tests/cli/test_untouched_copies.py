"""``velatura protect --intensity 0`` as a person runs it: another file of the same picture, to every other program."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from velatura.cli.protect import protect_command
from velatura.images import read

IMAGES = Path(__file__).parents[1] / "images"


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch):
    """The sample files of the table of formats."""
    monkeypatch.syspath_prepend(str(IMAGES))
    sys.modules.pop("file_samples", None)
    import file_samples

    return file_samples


ROWS = [("png", "rgba16", "prophoto"), ("jpeg", "rgb8", "adobe"), ("tiff-tiled", "rgb16", "p3")]


def test_a_copy_without_a_cloak_looks_and_says_the_same(files, tmp_path) -> None:
    source, out = tmp_path / "art", tmp_path / "out"
    source.mkdir()
    for row in ROWS:
        (source / f"{row[0]}.{row[0].partition('-')[0]}").write_bytes(files.file(*row))
    if files.EXIFTOOL:
        files.tag(*source.iterdir())
    options = ["--intensity", "0", "-m", "mini", "-e", "fast", "-r", "64"]
    done = CliRunner().invoke(protect_command, [str(source), "-o", str(out), *options])
    assert done.exit_code == 0, done.output
    assert f"{len(ROWS)} copied without a cloak (intensity 0)" in done.output
    for path in source.iterdir():
        copy = out / path.name
        before, after = read(path), read(copy)
        for fact in ("width", "height", "bits", "grey", "alpha", "icc", "compression", "quality"):
            assert getattr(after, fact) == getattr(before, fact), (path.name, fact)
        apart = files.delta_e(files.rendered(path.read_bytes()), files.rendered(copy.read_bytes()))
        assert apart.mean() < (1 if path.suffix == ".jpeg" else 0.001)
        report = json.loads((out / f"{path.stem}.report.json").read_text(encoding="utf-8"))
        assert report["figures"]["delta_scale"] == 0
        if files.EXIFTOOL:
            assert files.tags(path) == files.tags(copy)
