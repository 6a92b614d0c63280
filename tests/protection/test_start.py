"""Cloaks begin from the instant one; as published they begin from nothing."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from velatura.cloaks import GlazeSettings, glaze
from velatura.diffusion.extractors import Extractor, load
from velatura.evaluation import Arm
from velatura.evaluation.protecting import protect
from velatura.images import read
from velatura.jobs.records import Job, Picture
from velatura.jobs.tasks import ModelTasks
from velatura.perception.lpips import lpips
from velatura.protection import Protector, Settings, protector
from velatura.protection.panels import png

SMALL = Settings(models=("mini",), effort="fast", resolutions=(64,), style="Aubrey Beardsley")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where the protector's cloaks begin; they take one step only."""
    found: list[Any] = []

    def watched(*args: Any, start: Any, settings: GlazeSettings, **more: Any) -> Any:
        found.append(start)
        return glaze(*args, start=start, settings=replace(settings, steps=1), **more)

    monkeypatch.setattr(protector, "glaze", watched)
    return found


@pytest.mark.parametrize(
    ("effort", "warm_start", "begun"), [("fast", True, True), ("fast", False, False), ("paper", True, False)]
)
def test_where_a_cloak_begins(make_scene, starts: list[Any], effort: str, warm_start: bool, begun: bool) -> None:
    found = Protector(replace(SMALL, effort=effort))
    x, t = make_scene(64, 200), make_scene(64, 200, 5)
    found.cloak(x, t, warm_start=warm_start)
    assert len(starts) > 1, "a long picture has several windows"
    assert all((start is not None) == begun for start in starts)
    assert ("instant" in found.weights()) == (effort != "paper")


def test_a_start_is_worth_steps(make_scene) -> None:
    found = Protector(replace(SMALL, flip=0.5))
    left: dict[bool, float] = {}
    for warm_start in (True, False):
        for seed in range(3):
            x, t = make_scene(64, 72, seed), make_scene(64, 72, seed + 5)
            y = x + found.cloak(x, t, warm_start=warm_start)
            with torch.no_grad():
                of, wanted, got = (found.style_model.encode(z) for z in (x, t, y))
            left[warm_start] = left.get(warm_start, 0) + float((got - wanted).norm() / (of - wanted).norm())
    assert left[True] < 0.97 * left[False]


@pytest.mark.parametrize(
    ("method", "begun"),
    [
        ("glaze", False),
        ("glaze-bounded", False),
        ("velatura", True),
        ("banded", True),
        ("scattered", True),
        ("shuffled", True),
    ],
)
def test_which_arms_begin_as_the_product_does(make_scene, starts: list[Any], method: str, begun: bool) -> None:
    pictures = [make_scene(64, 72, seed) for seed in range(2)]
    for warm_start in (True, False):
        protect(Arm(method, 0.1), Protector(SMALL), pictures, 0, warm_start=warm_start)
    assert [start is not None for start in starts] == [begun, begun, False, False]


def test_a_start_knows_transparent_files(make_scene) -> None:
    found, x, t = Protector(SMALL), make_scene(64, 64), make_scene(64, 64, 5)
    recipe = replace(SMALL.cloak(), budget=0.02, flip=None)  # small, or the largest δ is reached first
    usual = found.start(x, t, recipe, None)
    opacity = torch.ones(1, 1, 64, 64)
    opacity[..., 32:] = 0
    half = found.start(x, t, recipe, opacity)
    assert (half[..., 32:] == 0).all()
    assert float(lpips(x, x + half)) > 1.2 * float(lpips(x, x + opacity * usual)), "none of the budget is spent unseen"


def test_another_network_to_start_from_makes_other_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [Settings(models=("mini",), effort=effort) for effort in ("default", "paper")]
    before = [settings.fingerprint() for settings in (*own, Settings())]
    monkeypatch.setattr("velatura.protection.settings.weights.sha256", lambda _: "another")
    after = [settings.fingerprint() for settings in (*own, Settings())]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, True]


def test_where_steps_are_small_there_is_less_of_the_start(make_scene) -> None:
    mini: Extractor = load("mini")
    x = 0.2 + 0.6 * make_scene(64, 128)
    x[..., 64:] = 0.5
    start = torch.full_like(x, 0.02)
    kept = {}
    for mask in (0.0, 1.0):
        settings = GlazeSettings(1.0, steps=0, mask=mask)
        kept[mask] = glaze(x, x, extractors=[mini], settings=settings, start=start).delta.abs()
    assert torch.allclose(kept[0.0], start, atol=1e-3)
    assert kept[1.0][..., 80:].mean() < 0.5 * kept[0.0][..., 80:].mean()
    assert kept[1.0].max() <= start.max() + 1e-3, "nowhere more than it was"


class _Lease:
    hurry = True

    def __call__(self, step: int, steps: int) -> None:
        assert step <= steps

    def claim(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@pytest.mark.parametrize("budget", [0.1, 0.0])
def test_a_preview_of_no_budget_is_a_copy(make_scene, tmp_path: Path, budget: float) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(png(make_scene(72, 96)))
    order = {"x": 0.5, "y": 0.5, "settings": {"models": ["mini"], "resolutions": [64], "budget": budget}}
    order["settings"] |= {"style": "Aubrey Beardsley"}
    job = Job("1", "preview", 1, "working", order, 0.0, 1e12)
    picture = Picture(0, "a.png", source, tmp_path / "out/a.after.png", "a")
    ModelTasks().preview(job, picture, _Lease())  # type: ignore[arg-type]
    before, after = (read(place).image for place in (picture.task.beside("before.png"), picture.output))
    assert (before.numpy() == after.numpy()).all() == (budget == 0)
