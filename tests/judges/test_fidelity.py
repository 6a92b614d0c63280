"""The Frechet distance is the formula's, and its bias is measured."""

from __future__ import annotations

import pytest
import torch

from velatura.errors import InputError
from velatura.judges.fidelity import compare, fidelity, frechet

pytest.importorskip("sklearn")


def test_known_normal_distributions() -> None:
    draw = torch.Generator().manual_seed(0)
    a = torch.randn(20000, 3, generator=draw)
    b = torch.randn(20000, 3, generator=draw) * torch.tensor([1.0, 2.0, 0.5]) + torch.tensor([1.0, 0.0, 0.0])
    assert frechet(a, b) == pytest.approx(1 + 1 + 0.25, rel=0.05)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-6)


def test_bias_is_what_real_pictures_get() -> None:
    draw = torch.Generator().manual_seed(1)
    real, same, other = (torch.randn(n, 16, generator=draw) + m for n, m in ((40, 0.0), (30, 0.0), (30, 1.0)))
    found = compare(same, real)
    assert found.n == 20
    assert found.bias > 0.5
    assert found.distance == pytest.approx(found.bias, rel=0.5)
    assert compare(other, real).distance > 3 * found.distance
    assert compare(other, real) == compare(other, real)


def test_pictures_of_the_same_kind_are_nearer(make_stripe, make_scene) -> None:
    real = [make_stripe(i) for i in range(16)]
    same = fidelity([make_stripe(i) for i in range(20, 28)], real)
    other = fidelity([make_scene(64, 64, i) for i in range(8)], real)
    assert same.n == other.n == 8
    assert other.distance > 2 * same.distance


def test_too_few(make_scene) -> None:
    with pytest.raises(InputError, match="at least 8 generated pictures, got 1"):
        fidelity([make_scene(64, 64)], torch.rand(16, 3, 64, 64))
