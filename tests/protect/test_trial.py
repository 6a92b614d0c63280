from __future__ import annotations

import pytest
import torch

from velatura.diffusion import extractors
from velatura.images import read
from velatura.protect import Protector, Settings
from velatura.protect.protector import png
from velatura.protect.trial import MOST_PICTURES, changed, small
from velatura.styles import catalogue, choose, transfer


def test_a_trial_tells_a_far_style_from_ones_own(make_scene) -> None:
    eye = extractors.load("mini")
    squares = [small(read(png(make_scene(136 + 80 * i, 200, seed=i)))) for i in range(2)]
    assert all(square.shape == (1, 3, 128, 128) for square in squares)
    own = torch.cat([transfer.style_vector(square) for square in squares]).mean(0).tolist()
    far = catalogue.load().find("wang-ximeng").vector
    assert changed(squares, far, eye) > 1.2 * changed(squares, own, eye) > 0
    many = squares * MOST_PICTURES
    assert changed(many, own, eye) == changed(many[:MOST_PICTURES], own, eye), "a few are enough"


def test_a_protector_keeps_the_style_of_the_best_trial(make_scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "TRIED", 3)
    protector = Protector(Settings(models=("mini",), resolutions=(128,)))
    looks, done = [protector.look(read(png(make_scene(136, 136))))], []
    choice = protector.choose(looks, on_trial=lambda: done.append(1))
    assert len(done) == 3
    assert "farthest in a trial of 3" in choice.reason
    far = changed([looks[0].square], choice.style.vector, protector.style_model)
    quick = protector.choose(looks, quick=True)
    assert len(done) == 3
    assert "drawn" in quick.reason
    assert far > 0
