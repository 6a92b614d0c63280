"""What a person may ask for, in whatever form, and what makes a re-run skip."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import velatura
from velatura import weights
from velatura.cli.options import SETTINGS, settings_from
from velatura.cli.protect import protect_command
from velatura.diffusion import extractors
from velatura.errors import InputError
from velatura.images import save
from velatura.images.kinds import Kind
from velatura.protection import Protector, Settings
from velatura.protection.panels import png
from velatura.protection.protector import _resolution
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
def test_a_model_by_path_is_cloaked_at_what_it_was_made_for(says: int | None, side: int, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({} if says is None else {"sample_size": says}))
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert _resolution(str(tmp_path)) == side
    assert _resolution("sdxl") == 1024
    assert _resolution("mini") == 512


def test_how_visible_a_change_may_be_grows_with_the_intensity_and_can_be_said() -> None:
    bounds = [Settings(budget=budget).visible() for budget in (0.05, 0.1, 0.2)]
    assert None not in bounds
    assert sorted(bounds) == bounds
    assert bounds[0] < bounds[-1]
    assert Settings(flip=0.033).visible() == Settings(flip=0.033).cloak().flip == 0.033
    assert Settings(effort="paper").visible() is None, "as published"
    assert Settings(effort="paper", flip=0.05).visible() == 0.05
    assert len({Settings().fingerprint(), Settings(flip=0.03).fingerprint(), Settings(budget=0.2).fingerprint()}) == 3


@pytest.mark.parametrize("given", [{"flip": 0.0}, {"flip": 1.5}, {"against": ()}, {"against": ("sd9",)}])
def test_what_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(given))):
        Settings(**given)


def test_models_are_chosen_by_the_families_that_they_are_against() -> None:
    one = Settings(against=["sdxl"])  # type: ignore[arg-type]
    assert one.against == ("sdxl",)
    assert one.fingerprint() != Settings().fingerprint()
    asked: dict[str, Any] = {}

    @click.command()
    @SETTINGS
    def command(**options: Any) -> None:
        asked["settings"] = settings_from(options)

    for words, wanted in (([], weights.FAMILIES), (["--against", "sd3", "--against", "flux1"], ("sd3", "flux1"))):
        command.main(words, standalone_mode=False)
        assert asked["settings"].against == wanted


def test_networks_are_loaded_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = extractors.load

    def noted(name: str, *rest: Any, **more: Any) -> Any:
        loaded.append(name)
        return load(name, *rest, **more)

    monkeypatch.setattr(extractors, "load", noted)
    protector = Protector(Settings(models=("mini",), resolutions=(64,)))
    assert not loaded
    assert set(protector.ways) == {"mini"}
    assert protector.extractors is protector.extractors
    assert loaded == ["mini"]


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


def test_pictures_without_colours_have_the_narrower_bound_unless_it_is_named() -> None:
    grey = Kind(True, None, False, "grey picture", None, None, False, None)
    colour = replace(grey, grey=False, name="colour picture")
    assert Settings().visible(grey) < Settings().visible(colour) == Settings().visible()
    assert Settings(flip=0.05).visible(grey) == Settings(flip=0.05).visible(colour) == 0.05
    assert Settings(effort="paper").visible(grey) is None
