"""Shared by all tests: small pictures made by formula, and no network, no user folders, two threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELATURA_CONFIG", str(tmp_path_factory.mktemp("config")))
    # One cache for the session: the precision trial runs once.
    monkeypatch.setenv("VELATURA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def scene(height: int, width: int, seed: int = 0) -> Tensor:
    """``(1, 3, height, width)`` in [0, 1]: smooth colour, a few edges and some grain, as a painting has."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    channels = []
    for _ in range(3):
        a, b, phase = (float(v) for v in torch.rand(3, generator=generator))
        wave = 0.5 + 0.3 * torch.sin(2 * math.pi * ((1 + 3 * a) * x + (1 + 3 * b) * y + phase))
        channels.append(wave + 0.25 * ((x - a) ** 2 + (y - b) ** 2 < 0.04))
    picture = torch.stack(channels)[None] + 0.02 * torch.randn(1, 3, height, width, generator=generator)
    return picture.clamp(0, 1)


@pytest.fixture
def make_scene() -> Callable[..., Tensor]:
    return scene


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference material beside the checkout, or a skip."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference material at {SHARED}, which is not part of the product")
    return SHARED
