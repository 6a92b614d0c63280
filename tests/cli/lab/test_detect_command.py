"""``velatura lab detect`` from folders to a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from torch import Tensor

from velatura.cli.lab.detect import detect_command
from velatura.countermeasures.treatment import prepare
from velatura.errors import InputError
from velatura.images import save
from velatura.protection.panels import png

pytest.importorskip("sklearn")


def test_from_folders_to_a_table(tmp_path: Path, make_scene: Callable[..., Tensor]) -> None:
    noise = prepare("noise", {"sigma": "0.08"})
    for folder, first, changed in (
        ("clean", 0, False),
        ("cloaked", 0, True),
        ("mine", 10, True),
        ("against", 20, False),
    ):
        (tmp_path / folder).mkdir()
        for i in range(first, first + 9):
            picture = make_scene(40, 44, i)
            save(png(noise(picture, shift=i) if changed else picture), tmp_path / folder / f"{i}.png")
    (tmp_path / "mine/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ask = [str(tmp_path / "mine"), "--clean", str(tmp_path / "clean"), "-r", "40"]
    done = CliRunner().invoke(
        detect_command,
        [*ask, "--cloaked", str(tmp_path / "cloaked"), "--against", str(tmp_path / "against"), "--json"],
    )
    assert done.exit_code == 0, done.output
    assert "broken.png" in done.stderr
    rows = {row["detector"]: row for row in json.loads(done.stdout)["detectors"]}
    assert len(rows) == 7
    assert rows["trained"]["auc"] > 0.9
    assert rows["trained"]["flagged"] > 0.7
    assert len(rows["trained"]["scores"]) == 9
    plain = CliRunner().invoke(detect_command, ask)
    assert "spectrum" in plain.stdout
    assert "trained" not in plain.stdout, "nothing to train it on"
    few = CliRunner().invoke(
        detect_command, [str(tmp_path / "mine"), "--clean", str(tmp_path / "clean/0.png"), "-r", "40"]
    )
    assert isinstance(few.exception, InputError)
    assert "8 clean pictures or more" in str(few.exception)
