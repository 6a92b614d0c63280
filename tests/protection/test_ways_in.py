"""What a person asks of a file, and the care that is taken with it, are the same whichever way it comes in."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from velatura.cli.compare import compare_command
from velatura.cli.inspect import inspect_command
from velatura.cli.protect import protect_command
from velatura.errors import ImageError
from velatura.images import Delivery, sandbox
from velatura.jobs.records import Job, Picture
from velatura.jobs.tasks import ModelTasks
from velatura.protection import Protector, Settings, protect
from velatura.protection.panels import png

ARTIST, PLACE = 0x013B, 0x8825  # EXIF tags
SETTINGS = Settings(models=("mini",), effort="fast", resolutions=(64,), budget=0.0, style="Aubrey Beardsley")
QUICK = [
    "-m",
    "mini",
    "--effort",
    "fast",
    "--resolution",
    "64",
    "--intensity",
    "0",
    "--style",
    "Aubrey Beardsley",
    "-q",
]


class Lease:
    def __call__(self, step: int, steps: int) -> None: ...

    claim = suppress  # a context that holds nothing


@pytest.fixture
def located(tmp_path: Path, make_scene: Any) -> Path:
    """A photograph of a painting, with who made it, and where."""
    exif = Image.Exif()
    exif[ARTIST] = "Ada"
    exif.get_ifd(PLACE).update({1: "N", 2: (48.0, 52.0, 24.0)})
    path = tmp_path / "a.jpg"
    Image.open(io.BytesIO(png(make_scene(72, 96)))).save(path, exif=exif, quality=95)
    return path


def by_command(source: Path, out: Path, delivery: Delivery) -> bytes:
    wishes = [f"--{name.replace('_', '-')}" for name in ("strip_gps", "strip_all") if getattr(delivery, name)]
    done = CliRunner().invoke(protect_command, [str(source), "-o", str(out), *QUICK, *wishes])
    assert done.exit_code == 0, done.output
    return (out / source.name).read_bytes()


def by_job(source: Path, out: Path, delivery: Delivery) -> bytes:
    order = {"settings": asdict(replace(SETTINGS, delivery=delivery))}
    picture = Picture(0, source.name, source, out / source.name, source.stem)
    ModelTasks().protect(Job("1", "protect", 1, "working", order, 0.0, 1e12), picture, Lease())  # type: ignore[arg-type]
    return picture.output.read_bytes()


def by_call(source: Path, out: Path, delivery: Delivery) -> bytes:
    return protect(source.read_bytes(), replace(SETTINGS, delivery=delivery))


@pytest.mark.parametrize("way", [by_command, by_job, by_call])
@pytest.mark.parametrize(
    ("delivery", "artist", "place"),
    [
        (Delivery(), "Ada", True),
        (Delivery(strip_gps=True), "Ada", False),
        (Delivery(strip_all=True), None, False),
    ],
)
def test_where_it_was_made_is_left_out_if_asked(
    way: Callable[[Path, Path, Delivery], bytes], delivery: Delivery, artist: str | None, place: bool,
    located: Path, tmp_path: Path,
) -> None:  # fmt: skip
    exif = Image.open(io.BytesIO(way(located, tmp_path / "out", delivery))).getexif()
    assert exif.get(ARTIST) == artist
    assert bool(exif.get_ifd(PLACE)) == place


def test_no_way_in_decodes_in_a_process_without_limits(
    located: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the limited process out of order, nothing is decoded."""

    def refuse(*_: Any) -> Any:
        raise ImageError("the limited process was asked")

    run = CliRunner().invoke
    whole = located.read_bytes()
    ways: dict[str, Callable[[], Any]] = {
        "protect FILE": lambda: run(protect_command, [str(located), "-o", str(tmp_path / "o"), *QUICK]).output,
        "protect -": lambda: run(protect_command, ["-", *QUICK], input=whole).exception,
        "inspect": lambda: run(inspect_command, [str(located)]).output,
        "compare": lambda: run(compare_command, [str(located), str(located)]).exception,
        "a call": lambda: protect(whole, SETTINGS),
        "a job": lambda: by_job(located, tmp_path / "out", Delivery()),
        "a preview": lambda: ModelTasks().preview(
            Job("1", "preview", 1, "working", {"x": 0.5, "y": 0.5, "settings": asdict(SETTINGS)}, 0.0, 1e12),
            Picture(0, "a.jpg", located, tmp_path / "p/a.png", "a"),
            Lease(),  # type: ignore[arg-type]
        ),
    }
    monkeypatch.setattr(sandbox, "_asked", refuse)
    assert Protector(SETTINGS).look_at(located) is None, "the choice of T"
    for way, begin in ways.items():
        try:
            said = str(begin())
        except ImageError as error:
            said = str(error)
        assert "the limited process was asked" in said, way


def test_a_job_of_copies_without_a_cloak_chooses_no_style(located: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Protector, "look_at", lambda *_: pytest.fail("a network was asked"))
    picture = Picture(0, located.name, located, located.with_name("out.jpg"), located.stem)
    order = {"settings": asdict(replace(SETTINGS, style=None))}
    job = Job("1", "protect", 1, "working", order, 0.0, 1e12, pictures=[picture])
    assert ModelTasks().choose(job) == {}
    told = ModelTasks().protect(job, picture, Lease())  # type: ignore[arg-type]
    assert told["verdict"]["word"] == "copied"
    assert (told["style"], told["families"], told["models"], told["unknown"]) == (None, {}, [], None)
