"""The correlations are those of the activations, and of nothing but pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from velatura.errors import ContractError
from velatura.judges import correlations
from velatura.judges.vgg import PAIRS
from velatura.perception.lpips import load


def test_one_by_one_is_the_same_as_together(make_scene) -> None:
    pictures = torch.cat([make_scene(32, 32, seed) for seed in range(10)])
    together = correlations(pictures)
    torch.testing.assert_close(together[9:], correlations(pictures[9:]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("pictures", "says"),
    [
        (torch.rand(3, 64, 64), r"\(B, 3, H, W\)"),
        (torch.rand(1, 3, 64, 64) * 255, r"\[0, 1\]"),
        (torch.rand(1, 3, 16, 64), "at least 32 px"),
    ],
)
def test_refuses_what_is_no_picture(pictures: torch.Tensor, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        correlations(pictures)


def test_correlations_are_those_of_the_channels(make_scene) -> None:
    picture = make_scene(48, 64)
    found = correlations(picture)
    assert found.shape == (1, PAIRS)
    first = load("vgg").activations(picture)[0][0].flatten(1).numpy()  # 64 channels: not mixed
    alive = np.flatnonzero(first.std(1) > 1e-2)
    above = np.triu_indices(64, 1)
    kept = np.isin(above[0], alive) & np.isin(above[1], alive)
    assert kept.sum() > 500
    expected = np.corrcoef(first[alive])[np.triu_indices(len(alive), 1)]
    np.testing.assert_allclose(found[0, : len(kept)].numpy()[kept], expected, atol=1e-4)


def test_correlations_do_not_heed_where_things_are_but_what_goes_with_what(make_scene) -> None:
    scene = make_scene(96, 96)
    here, there = scene[..., :80, :80], scene[..., 16:, 16:]
    own, moved, another = correlations(torch.cat([here, there, make_scene(80, 80, 5)]))
    assert (own - moved).norm() < 0.7 * (own - another).norm()
    assert float(own.abs().max()) <= 1 + 1e-4
