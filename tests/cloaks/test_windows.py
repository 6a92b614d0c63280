"""Windows over long pictures: they cover, they blend to one, and a picture of ordinary shape is one window."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from velatura.cloaks.windows import over_windows, ramp, spans


@given(st.integers(min_value=9, max_value=400), st.integers(min_value=8, max_value=32))
def test_windows_cover_and_weights_sum_to_one(eighths: int, window_eighths: int) -> None:
    length, window = eighths * 8, window_eighths * 8
    parts = spans(length, window)
    assert parts[0][0] == 0
    assert parts[-1][1] == length
    if length > 2 * window:
        total = torch.zeros(length)
        for index, (start, end) in enumerate(parts):
            assert start % 8 == 0
            total[start:end] += ramp(index, parts)
        assert torch.allclose(total, torch.ones(length), atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 320), (320, 64)])
def test_blended_windows_give_back_what_they_agree_on(shape: tuple[int, int]) -> None:
    wanted = torch.linspace(-0.1, 0.1, shape[0] * shape[1]).view(1, 1, *shape).expand(1, 3, *shape)
    calls = []

    def cloak(window: torch.Tensor, where: tuple[slice, slice], index: int, count: int) -> torch.Tensor:
        assert window.shape[-2:] == (64, 64)
        calls.append((index, count))
        return wanted[:, :, where[0], where[1]]

    delta = over_windows(torch.full((1, 3, *shape), 0.5), cloak)
    assert torch.allclose(delta, wanted, atol=1e-5)
    assert calls == [(i, len(calls)) for i in range(len(calls))]


def test_of_transparent_pictures_more_may_be_added_than_white_leaves() -> None:
    """At opacity 0.3, 0.9 of δ is 0.27 of change."""
    picture = torch.full((1, 3, 64, 320), 0.7)

    def cloak(window: torch.Tensor, where: tuple[slice, slice], index: int, count: int) -> torch.Tensor:
        return torch.full_like(window, 0.9)

    assert over_windows(picture, cloak).max() == pytest.approx(0.3)
    assert torch.allclose(over_windows(picture, cloak, transparent=True), torch.tensor(0.9), atol=1e-5)


def test_an_ordinary_shape_is_one_window() -> None:
    picture = torch.rand(1, 3, 64, 120)
    seen = []
    over_windows(picture, lambda window, where, index, count: seen.append(window.shape) or torch.zeros_like(window))
    assert seen == [picture.shape]
