"""Left out, since it takes most of the time and is tested elsewhere: the trial of precisions, learning again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from velatura import judges
from velatura.images import save
from velatura.protection.panels import png

_LEARNED: dict[str, judges.StyleJudge] = {}
_fit = judges.fit


def _fit_once(victims: Mapping[str, Sequence[Path]], **options: Any) -> judges.StyleJudge:
    about = sorted((name, sha256(path.read_bytes()).hexdigest()) for name, paths in victims.items() for path in paths)
    count, on_picture = len(about), options.get("on_picture")
    if str(about) not in _LEARNED:
        _LEARNED[str(about)] = _fit(victims, **options)
    elif on_picture is not None:
        on_picture(count, count)
    return _LEARNED[str(about)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velatura.judges.fit", _fit_once)
    monkeypatch.setattr("velatura.diffusion.device.tune", lambda extractor: "fp32")


@pytest.fixture
def art(tmp_path: Path, make_scene: Callable[..., Tensor]) -> list[Path]:
    folder = tmp_path / "ada-lovelace"
    folder.mkdir()
    paths = [folder / f"{i:02}.png" for i in range(13)]
    for i, path in enumerate(paths):
        save(png(make_scene(128, 136, 20 + i)), path)
    return paths
