"""Busy and flat places of a picture."""

from __future__ import annotations

import torch

from velatura.perception.texture import activity, flat
from velatura.protection.visibility import visible


def half_busy() -> torch.Tensor:
    picture = torch.full((1, 3, 64, 64), 0.5)
    picture[..., 32:] += 0.2 * torch.rand(1, 1, 64, 32, generator=torch.Generator().manual_seed(0))
    return picture


def test_activity_is_the_local_deviation_of_lightness() -> None:
    found = activity(half_busy())
    assert found.shape == (1, 1, 64, 64)
    assert found[..., :28].max() < 0.01
    assert found[..., 36:].min() > 1


def test_the_flattest_part_is_found() -> None:
    chosen = flat(half_busy())
    assert chosen[..., :28].all()
    assert not chosen[..., 36:].any()
    noisy = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(1))
    share = flat(noisy).float().mean((1, 2))
    assert ((share > 0.2) & (share < 0.3)).all()


def test_a_change_in_flat_places_is_reported_as_such() -> None:
    picture = half_busy()
    left, right = picture.clone(), picture.clone()
    left[..., :28] += 0.05
    right[..., 36:] += 0.05
    figures = [visible(picture, changed.clamp(0, 1)) for changed in (left, right)]
    assert figures[0]["delta_e_flat"] > 2 > 0.1 > figures[1]["delta_e_flat"]
