"""Pictures of an invented artist, by formula, and a judge that has learned them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from velatura.judges import StyleJudge, fit


def stripe(seed: int) -> Tensor:
    """``(1, 3, 128, 150)``: loud crossed waves, never the same."""
    draw = torch.Generator().manual_seed(1000 + seed)
    a, b, c = (float(v) for v in torch.rand(3, generator=draw))
    y, x = torch.meshgrid(torch.linspace(0, 1, 128), torch.linspace(0, 1, 150), indexing="ij")
    waves = [torch.sin(2 * math.pi * (k * x * (6 + 4 * a) + (1 - k) * y * (9 + 4 * b) + c)) for k in (0.2, 0.5, 0.9)]
    return (0.5 + 0.5 * torch.stack(waves)).round()[None] * 0.8 + 0.1


@pytest.fixture
def make_stripe() -> Callable[[int], Tensor]:
    return stripe


@pytest.fixture(scope="session")
def judge() -> StyleJudge:
    pytest.importorskip("sklearn")
    return fit({"stripes": [stripe(i) for i in range(8)]})
