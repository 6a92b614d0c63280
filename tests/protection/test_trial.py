from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from velatura import weights
from velatura.diffusion import extractors
from velatura.images import read
from velatura.perception.style import style_change
from velatura.protection import Protector, Settings
from velatura.protection import protector as protector_module
from velatura.protection.panels import png
from velatura.protection.trial import MOST_PICTURES, SETTINGS, cloaked, from_home, seen, small, style_shift_of_trial
from velatura.styles import catalogue, choose, transfer


@pytest.fixture(scope="module")
def painted() -> list[Tensor]:
    """Squares of a real picture, since a style has to be told from another."""
    artwork = read(weights.embedded("sample"))
    side = min(artwork.width, artwork.height) * 3 // 4
    parts = [artwork.image.crop(0, 0, side, side), artwork.image.crop(artwork.width - side, 0, side, side)]
    return [small(replace(artwork, image=part, width=side, height=side)) for part in parts]


def test_a_trial_tells_a_far_style_from_ones_own(painted: list[Tensor]) -> None:
    eye, squares = extractors.load("surrogate"), painted
    assert all(square.shape == (1, 3, 128, 128) for square in squares)
    own = torch.cat([transfer.style_vector(square) for square in squares]).mean(0).tolist()
    far = catalogue.load().find("wang-ximeng").vector
    home = seen(squares, eye)
    assert style_shift_of_trial(squares, home, far, eye) > 1.2 * style_shift_of_trial(squares, home, own, eye) > 0
    many = squares * MOST_PICTURES
    assert style_shift_of_trial(many, home, own, eye) == style_shift_of_trial(many[:MOST_PICTURES], home, own, eye), (
        "a few are enough"
    )


def test_a_trial_asks_how_far_from_all_of_the_artists_pictures_not_from_the_few_that_are_tried(
    painted: list[Tensor],
) -> None:
    eye, square = extractors.load("surrogate"), painted[0]
    vector = catalogue.load().find("wang-ximeng").vector
    aim = transfer.paint(square, torch.tensor([vector]))
    near = style_shift_of_trial([square], seen([square, aim, aim], eye), vector, eye)
    own = seen([square], eye)
    assert near < style_shift_of_trial([square], own, vector, eye)
    cloak = seen([cloaked(square, aim, eye, SETTINGS)], eye)
    assert style_shift_of_trial([square], own, vector, eye) == from_home(own, cloak) == float(style_change(own, cloak))


def test_a_protector_keeps_the_style_of_the_best_trial(make_scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "TRIED", 3)
    protector = Protector(Settings(models=("mini",), resolutions=(128,)))
    looks, done = [protector.look(read(png(make_scene(136, 136))))], []
    tried: dict[tuple[float, ...], float] = {}

    def watched(squares: Any, home: Any, vector: Any, eye: Any) -> float:
        return tried.setdefault(tuple(vector), style_shift_of_trial(squares, home, vector, eye))

    monkeypatch.setattr(protector_module, "style_shift_of_trial", watched)
    choice = protector.choose(looks, on_trial=lambda: done.append(1))
    assert len(done) == len(tried) == 3
    assert "farthest in a trial of 3" in choice.reason
    assert tried[tuple(choice.style.vector)] == max(tried.values()) > min(tried.values()) > 0
    quick = protector.choose(looks, quick=True)
    assert len(done) == 3
    assert "drawn" in quick.reason
