"""What a person may ask for, in whatever form, and what makes a re-run skip."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import velatura
from velatura import weights
from velatura.cli.protect import protect_command
from velatura.diffusion import extractors
from velatura.images import save
from velatura.protect import Protector, Settings
from velatura.protect.protector import _resolution, png
from velatura.styles import catalogue, transfer
from velatura.styles.choose import Choice


def test_a_catalogue_of_ones_own_from_the_command_line(tmp_path: Path, make_scene: Callable[..., Tensor]) -> None:
    book = tmp_path / "mine.json"
    shutil.copy(weights.embedded("styles"), book)
    save(png(make_scene(64, 64)), tmp_path / "a.png")
    words = ["-m", "mini", "--effort", "fast", "--resolution", "64", "--intensity", "0", "--style", "beardsley", "-q"]
    words += ["--catalogue", str(book), "-o", str(tmp_path / "out"), str(tmp_path / "a.png")]
    done = CliRunner().invoke(protect_command, words)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out/a.report.json").read_text())
    assert report["settings"]["catalogue"] == "mine.json"
    written = (tmp_path / "out/a.png").stat().st_mtime_ns
    assert CliRunner().invoke(protect_command, words).exit_code == 0
    assert (tmp_path / "out/a.png").stat().st_mtime_ns == written, "done already"
    book.write_text(book.read_text() + "\n")
    assert CliRunner().invoke(protect_command, words).exit_code == 0
    assert (tmp_path / "out/a.png").stat().st_mtime_ns > written, "by another catalogue of that name"


def test_lists_and_strings_will_do(make_scene: Callable[..., Tensor]) -> None:
    given: Any = {"models": ["mini"], "resolutions": [64], "band": [50.0, 75.0], "catalogue": "mine.json"}
    settings = Settings(**given)
    same = Settings(models=("mini",), resolutions=(64,), band=(50.0, 75.0), catalogue=Path("mine.json"))
    assert settings == same
    assert hash(settings) == hash(same)
    assert settings.fingerprint() == same.fingerprint()
    asked: Any = {"models": ["mini"], "resolutions": [64], "budget": 0.0, "style": "beardsley"}
    assert velatura.protect(png(make_scene(64, 64)), Settings(**asked))


def test_as_published_there_is_one_resolution() -> None:
    several = (256, 512)
    assert Settings(resolutions=several).cloak().resolutions == several
    assert Settings(resolutions=several, effort="paper").cloak().resolutions == ()


def test_another_model_in_the_same_place_is_not_done_already(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model / "vae", tmp_path / "vae")
    settings = Settings(models=(str(tmp_path / "vae"),))
    first = settings.fingerprint()
    assert settings.fingerprint() == first
    with (tmp_path / "vae/diffusion_pytorch_model.safetensors").open("ab") as file:
        file.write(b"another")
    assert settings.fingerprint() != first


def test_models_of_the_table_have_no_contents() -> None:
    assert Settings(models=("auto", "mini", "taesd"))._contents() == {}


@pytest.mark.parametrize(("says", "side"), [(1024, 1024), (256, 512), (None, 512), (1023, 512), (4096, 512)])
def test_a_model_by_path_is_cloaked_at_what_it_was_made_for(says: int | None, side: int) -> None:
    extractor: Any = SimpleNamespace(module=SimpleNamespace(config={"sample_size": says}))
    assert _resolution("somebody/vae", extractor) == side
    assert _resolution("sdxl", extractor) == 1024
    assert _resolution("mini", extractors.load("mini")) == 512


def test_a_diffusion_painter_sees_a_long_picture_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def painted(pipeline: Any, picture: Tensor, prompt: str, **more: Any) -> Tensor:
        seen.append(tuple(picture.shape[-2:]))
        return 1 - picture

    monkeypatch.setattr(transfer, "paint_with_pipeline", painted)
    protector = Protector(Settings(models=("mini",), resolutions=(64,)))
    protector.pipeline = object()
    style = catalogue.load().find("beardsley")
    choice = Choice(style, 0.0, "", [], [])
    for shape in ((64, 320), (64, 96)):
        picture = torch.rand(1, 3, *shape)
        assert torch.allclose(protector.paint(picture, choice), 1 - picture, atol=1e-5)
    assert set(seen[:-1]) == {(64, 64)}
    assert seen[-1] == (64, 96)
