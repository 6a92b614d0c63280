"""How the judges look: crops, changes, and always through the autoencoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from velatura.diffusion import extractors
from velatura.errors import InputError
from velatura.images import read, save
from velatura.judges.views import SIDE, VIEWS, View, blur, look, opened, plain, sharpen, square, zoom
from velatura.protection.panels import png


def test_every_kind_of_picture_opens_alike(tmp_path: Path, make_scene) -> None:
    save(png(make_scene(160, 240)), tmp_path / "a.png")
    path = tmp_path / "a.png"
    found = list(opened([path, read(path), make_scene(160, 240), make_scene(128, 192)]))
    assert [tuple(x.shape) for x in found] == [(1, 3, 128, 192)] * 4
    assert torch.equal(found[0], found[1])
    assert (found[0] - found[2]).abs().mean() < 0.01
    assert len(list(opened(torch.rand(3, 3, 64, 64)))) == 3


def test_squares_lie_at_start_middle_and_end() -> None:
    wide = torch.linspace(0, 1, 228).expand(1, 3, SIDE, 228)
    for place, first in ((0.0, 0), (0.5, 50), (1.0, 100)):
        assert torch.equal(square(wide, place), wide[..., first : first + SIDE])
    assert square(wide.transpose(2, 3), 1.0)[0, 0, 0, 0] == wide[0, 0, 0, 100]


def test_changes_do_what_they_are_called(make_scene) -> None:
    picture, flat = make_scene(SIDE, SIDE), torch.full((1, 3, SIDE, SIDE), 0.3)
    edges = [float(x.diff(dim=-1).abs().mean()) for x in (blur(picture, 2), blur(picture, 0.8), picture)]
    assert edges == sorted(edges)
    assert sharpen(picture, 1.0).diff(dim=-1).abs().mean() > edges[-1]
    for changed in (blur(flat, 1.6), sharpen(flat, 1.0), zoom(flat, 1.3)):
        torch.testing.assert_close(changed, flat)


def test_all_views_are_seen_through_the_autoencoder(make_scene) -> None:
    mini, picture = extractors.load("mini"), make_scene(SIDE, 170)
    seen = look(picture, mini, [*VIEWS, View(1.0, True)], seed=3)
    assert seen.shape == (len(VIEWS) + 1, 3, SIDE, SIDE)
    assert torch.equal(seen, look(picture, mini, [*VIEWS, View(1.0, True)], seed=3))
    assert not torch.equal(seen, look(picture, mini, [*VIEWS, View(1.0, True)], seed=4))
    torch.testing.assert_close(seen[:1], next(plain([picture], mini)), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[-1:], mini.view(square(picture, 1.0).flip(-1)), atol=1e-4, rtol=0)
    with pytest.raises(InputError, match="short side of 128"):
        look(make_scene(96, 96), mini)
