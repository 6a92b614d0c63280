"""Pairs are found by name and place, in whatever format, and what cannot be used costs a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from velatura.countermeasures.pairs import each, find, in_folder, opened
from velatura.errors import InputError
from velatura.images import save
from velatura.protection.panels import png


def test_namesakes_in_the_same_place(tmp_path: Path, make_scene: Callable[..., Tensor]) -> None:
    names = {
        "clean": ("walter-crane/a.jpg", "walter-crane/a.png", "walter-crane/b.jpg", "other/b.jpg", ".hidden/c.png",
                  "d.png"),
        "cloaked": ("walter-crane/a.jpg", "walter-crane/a.png", "walter-crane/b.png", "walter-crane/b.sheet.png",
                    "walter-crane/b.report.json", ".hidden/c.png", "d.png", "e.png"),
    }  # fmt: skip
    for part, files in names.items():
        for i, name in enumerate(files):
            path = tmp_path / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            save(png(make_scene(32, 40, i)), path)
    found = in_folder(tmp_path)
    there = [(p.cloaked.relative_to(tmp_path / "cloaked").as_posix(), p.clean.name, p.artist) for p in found]
    assert there == [
        ("d.png", "d.png", ""),
        ("walter-crane/a.jpg", "a.jpg", "walter crane"),
        ("walter-crane/a.png", "a.png", "walter crane"),
        ("walter-crane/b.png", "b.jpg", "walter crane"),
    ]
    save(png(torch.zeros(1, 3, 32, 64)), found[0].cloaked)
    save(b"\x89PNG\r\n\x1a\n", found[1].clean)
    said: list[str] = []
    pairs = opened(found, 32, said.append)
    assert list(pairs) == found[2:]
    assert all(x.shape == y.shape == (1, 3, 32, 40) for x, y in pairs.values())
    one_by_one = {pair: (cloaked, clean) for pair, cloaked, clean in each(found, 32)}
    assert all(torch.equal(x, y) for pair in pairs for x, y in zip(pairs[pair], one_by_one.pop(pair), strict=True))
    assert not one_by_one
    assert len(said) == 2
    assert "same proportions" in said[0]
    assert found[2].digest != found[3].digest


def test_a_folder_without_pairs_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folders cloaked and clean"):
        in_folder(tmp_path)
    (tmp_path / "clean").mkdir()
    (tmp_path / "cloaked").mkdir()
    assert find(tmp_path / "cloaked", tmp_path / "clean") == []
    with pytest.raises(InputError, match="the folders cloaked and clean"):
        in_folder(tmp_path)
