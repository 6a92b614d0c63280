from __future__ import annotations

import torch

from velatura.styles import catalogue
from velatura.styles.turn import turn, unit


def test_turn_is_an_angle_in_units_of_what_lies_between_styles() -> None:
    vectors = torch.tensor([style.vector for style in catalogue.load().styles])
    assert float(turn(vectors, 3 * vectors).max()) < 1e-4, "length is not style"
    apart = torch.cat([turn(vectors, vectors.roll(i, 0)) for i in range(1, len(vectors))])
    assert 0.8 < float(apart.median()) < 1.2
    right_angle = turn(torch.eye(100)[:1], torch.eye(100)[1:2])
    assert abs(float(right_angle) * unit() - 1) < 1e-5
