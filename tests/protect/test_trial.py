from __future__ import annotations

import torch

from velatura.diffusion import extractors
from velatura.images import read
from velatura.protect.protector import png
from velatura.protect.trial import MOST_PICTURES, changed, small
from velatura.styles import catalogue, transfer


def test_a_trial_tells_a_far_style_from_ones_own(make_scene) -> None:
    eye = extractors.load("mini")
    squares = [small(read(png(make_scene(136 + 80 * i, 200, seed=i)))) for i in range(2)]
    assert all(square.shape == (1, 3, 128, 128) for square in squares)
    own = torch.cat([transfer.style_vector(square) for square in squares]).mean(0).tolist()
    far = catalogue.load().find("wang-ximeng").vector
    assert changed(squares, far, eye) > 1.2 * changed(squares, own, eye) > 0
    many = squares * MOST_PICTURES
    assert changed(many, own, eye) == changed(many[:MOST_PICTURES], own, eye), "a few are enough"
