"""How far a style has moved: not at all for the same picture, little for noise, far for another artist's picture."""

from __future__ import annotations

import pytest
import torch

from velatura.errors import InputError
from velatura.judges import embedded, style_moves
from velatura.judges.style_distance import unit


def test_moves_are_in_units_of_one_artists_pictures(make_stripe, make_scene) -> None:
    stripes, scene = make_stripe(3), make_scene(128, 128)
    grain = 0.02 * torch.randn(stripes.shape, generator=torch.Generator().manual_seed(0))
    same, noised, other = style_moves(
        [stripes, stripes, stripes], [stripes, (stripes + grain).clamp(0, 1), scene]
    ).tolist()
    assert same == 0
    assert 0 < noised < 0.7 * other
    assert other > 1


def test_the_unit_is_less_than_the_distance_of_two_artists() -> None:
    known = embedded.load()
    plain = known.features[:, 0]
    others = torch.cdist(plain, plain)[known.labels[:, None] != known.labels]
    assert unit() < 0.9 * float(others.median())


def test_asks_for_the_same_pictures_twice(make_stripe) -> None:
    with pytest.raises(InputError, match="the same pictures before and after, got 2 and 1"):
        style_moves([make_stripe(1), make_stripe(2)], [make_stripe(1)])
