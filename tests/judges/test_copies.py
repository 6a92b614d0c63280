"""Copies are found cropped, mirrored and blurred; other pictures are not copies."""

from __future__ import annotations

import pytest
import torch

from velatura.errors import InputError
from velatura.judges import copy_rate
from velatura.judges.copies import distances, layout
from velatura.judges.views import blur, square


def test_copies_are_found_and_other_pictures_are_not(make_scene) -> None:
    training = [make_scene(128, 180, seed) for seed in range(4)]
    copy = blur(square(training[2], 1.0).flip(-1), 1.2)
    found = copy_rate(torch.cat([copy, make_scene(128, 128, 9)]), training)
    assert int(found.nearest[0]) == 2
    assert found.distances[0] < found.threshold < found.distances[1]
    assert (found.copied, found.rate) == (1, 0.5)
    assert copy_rate([copy], training, threshold=0.0).rate == 0


def test_distance_is_0_for_equal_pictures_only(make_scene) -> None:
    rows = layout(torch.cat([make_scene(128, 128, 1), make_scene(128, 128, 2), torch.rand(1, 3, 128, 128)]))
    table = distances(rows, rows)
    torch.testing.assert_close(table.diagonal(), torch.zeros(3), atol=1e-5, rtol=0)
    assert ((table >= 0) & (table <= 2)).all()
    assert table.fill_diagonal_(2).min() > 0.3


def test_nothing_to_compare_with() -> None:
    with pytest.raises(InputError, match="expected pictures, got 1 generated and 0 training"):
        copy_rate(torch.rand(1, 3, 128, 128), [])
