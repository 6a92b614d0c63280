"""The surrogate: five latent spaces in one network, through the same doors as any other model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from velatura import weights
from velatura.cloaks.cloak import Goal
from velatura.diffusion import extractors
from velatura.diffusion.surrogate import HEADS

TEACHERS = {"sd15": "taesd", "sdxl": "taesdxl", "sd3": "taesd3", "flux1": "taef1", "flux2": "taef2"}


def test_it_has_the_latents_of_five_families(make_scene) -> None:
    surrogate = extractors.load("surrogate")
    assert [family for family, _ in surrogate.parts] == list(weights.FAMILIES) == list(HEADS)
    latents = surrogate.encode(make_scene(64, 96))
    assert latents.shape == (1, 72, 8, 12)
    assert [latents[:, part].shape[1] for _, part in surrogate.parts] == [4, 4, 16, 16, 32]
    view = surrogate.view(make_scene(64, 96))
    assert view.shape == (1, 3, 64, 96)
    assert 0 <= float(view.min()) <= float(view.max()) <= 1


def test_its_view_shows_the_picture(make_scene) -> None:
    surrogate = extractors.load("surrogate")
    picture, other = make_scene(128, 128, 3), make_scene(128, 128, 4)
    seen = surrogate.view(picture)
    assert (seen - picture).abs().mean() < 0.5 * (seen - other).abs().mean()


def test_families_that_are_not_asked_for_do_not_count(make_scene) -> None:
    alone = extractors.load("surrogate", families=["flux2"])
    assert [family for family, _ in alone.parts] == ["flux2"]
    picture, target = make_scene(64, 64, 1), make_scene(64, 64, 2)
    goal = Goal(alone, picture, target)
    assert goal.by_family(goal.clean).tolist() == [[pytest.approx(1.0)]]
    latents = goal.features.clone()
    latents[:, :4] += 100
    assert goal.by_family(latents).tolist() == [[pytest.approx(0.0)]]


def test_a_real_one_stands_for_its_family_instead(shared: Path) -> None:
    both = extractors.load_all(["surrogate"], ["sd15", "flux1"])
    assert [part for e in both for part, _ in e.parts] == ["sd15", "flux1"]
    nothing_left = extractors.load_all(["surrogate"], ["sd15"])
    assert [part for e in nothing_left for part, _ in e.parts] == ["sd15"]


def test_what_it_believes_is_said_with_how_much_of_it_is_so() -> None:
    surrogate = extractors.load("surrogate")
    config = json.loads((weights.embedded("surrogate") / "config.json").read_text())
    assert surrogate.heard == config["heard"]
    assert set(surrogate.heard) == set(HEADS)
    assert all(0.3 < share < 2 for share in surrogate.heard.values()), "above 1: the real one saw more of it"


@pytest.mark.parametrize("family", HEADS)
def test_it_sees_as_the_real_ones_do(shared: Path, family: str) -> None:
    teacher = extractors.load(shared / "weights" / TEACHERS[family])
    surrogate = extractors.load("surrogate", families=[family])
    paths = sorted((shared / "art/paintings/kate-greenaway").glob("*.jpg"))[:2]
    from velatura.images import read, working
    from velatura.images.resample import middle

    pictures = torch.cat([middle(working(read(path), 256), 192) for path in paths])
    with torch.no_grad():
        real, imitated = teacher.encode(pictures), surrogate.encode(pictures)[:, surrogate.parts[0][1]]
    spread = (real - real.mean((0, 2, 3), keepdim=True)).pow(2).mean()
    assert (real - imitated).pow(2).mean() < 0.6 * spread, "held-out pictures, with margin: the card has the figures"
