"""``velatura lab judge`` on real files; the regression is learned in tests/judges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from velatura.cli.lab.judge import judge_command
from velatura.diffusion import extractors
from velatura.errors import InputError
from velatura.images import save
from velatura.judges import StyleJudge, embedded
from velatura.protection.panels import png

pytest.importorskip("sklearn")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(judge_command, [str(a) for a in arguments])


@pytest.fixture
def art(tmp_path: Path, make_scene) -> Path:
    for name, seeds in (("someone", range(8)), ("made", [20, 21]), ("training", [20, 30])):
        (tmp_path / name).mkdir()
        for seed in seeds:
            save(png(make_scene(128, 140, seed)), tmp_path / name / f"{seed}.png")
    (tmp_path / "made/broken.png").write_bytes(b"no picture")
    (tmp_path / "made/notes.txt").write_text("no picture either")
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A judge with weights out of a hat; returns what it was given."""
    given: dict[str, int] = {}

    def fit(victims, *, device, on_picture):
        given.update({name: len(pictures) for name, pictures in victims.items()})
        known = embedded.load()
        draw = torch.Generator().manual_seed(0)
        names = (*known.artists, *victims)
        weight = torch.randn(known.space.basis.shape[1], len(names), generator=draw)
        return StyleJudge(names, weight, torch.zeros(len(names)), known.space, extractors.load("mini"))

    monkeypatch.setattr("velatura.judges.fit", fit)
    return given


def test_json_says_all(art: Path, quick: dict[str, int]) -> None:
    done = run(art / "made", "--artist", art / "someone", "--training", art / "training", "--json")
    assert done.exit_code == 0, done.output
    tree = json.loads(done.stdout)
    assert quick == {"someone": 8}
    assert "someone" in tree["classes"]
    assert tree["pictures"] == len(tree["files"]) == 2
    top1, top3 = (tree["artists"]["someone"][metric] for metric in ("top1", "top3"))
    places = [row["ranks"]["someone"] for row in tree["files"]]
    assert (top1["count"], top3["count"]) == (sum(p == 1 for p in places), sum(p <= 3 for p in places))
    assert 0 <= top1["low"] <= top1["value"] <= top1["high"] <= 1
    assert sum(tree["named"].values()) == 2
    assert tree["learned_from"] == 0
    assert tree["copies"]["count"] >= 1
    assert tree["copies"]["nearest"][0]["file"] == str(art / "made/20.png")
    assert tree["copies"]["nearest"][0]["training"] == str(art / "training/20.png")
    left_out = done.stderr.splitlines()
    assert len(left_out) == 1
    assert left_out[0].startswith("left out: ")
    assert "broken.png" in left_out[0]


def test_text_for_people(art: Path, quick: dict[str, int]) -> None:
    (art / "made/same.png").write_bytes((art / "someone/3.png").read_bytes())
    done = run(art / "made", "--artist", art / "someone")
    assert done.exit_code == 0, done.output
    assert "3 pictures of" in done.stdout
    assert "someone (learned from 8 pictures)" in done.stdout
    assert "of 3 (" in done.stdout
    assert "named most often: " in done.stdout
    assert "copies" not in done.stdout
    assert "1 of the pictures are also in an --artist folder" in done.stderr


def test_errors_say_what_to_do(art: Path) -> None:
    (art / "empty").mkdir()
    (art / "other/someone").mkdir(parents=True)
    for arguments, says in (
        ((art / "empty", "--artist", art / "someone"), "expected pictures to judge"),
        ((art / "made", "--artist", art / "training"), "training: expected at least 8 pictures .* got 2"),
        ((art / "made", "--artist", art / "someone", "--artist", art / "other/someone"), "someone twice"),
    ):
        found = run(*arguments)
        assert isinstance(found.exception, InputError), found.output
        with pytest.raises(InputError, match=says):
            raise found.exception
    assert run(art / "made").exit_code == 2
