"""Pairs of cloaked and clean pictures by other artists, found by name: what a mimic who learns learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from velatura.errors import ImageError, InputError, VelaturaError
from velatura.images import read, working
from velatura.images.formats import SUFFIXES


@dataclass(frozen=True)
class Pair:
    """Files of one picture. ``artist``: by the folder that it lies in, ``walter crane``; "" where it lies in none."""

    cloaked: Path
    clean: Path
    artist: str

    @cached_property
    def digest(self) -> str:
        """Of both files."""
        return hashlib.sha256(self.cloaked.read_bytes() + self.clean.read_bytes()).hexdigest()[:16]


def find(cloaked: Path, clean: Path) -> list[Pair]:
    """Pictures in the folder ``clean`` (recursively) that have a namesake in the same place in ``cloaked``.

    ``a.png`` is the namesake of ``a.png``, else of ``a.jpg``, as ``velatura protect`` may have written it.
    """
    there = {path.relative_to(cloaked): path for path in sorted(cloaked.rglob("*")) if _is_picture(path, cloaked)}
    stems = {name.with_suffix(""): path for name, path in reversed(there.items())}
    found = []
    for path in sorted(clean.rglob("*")):
        name = path.relative_to(clean)
        if _is_picture(path, clean) and (match := there.get(name) or stems.get(name.with_suffix(""))):
            found.append(Pair(match, path, name.parts[0].replace("-", " ") if len(name.parts) > 1 else ""))
    return found


def in_folder(folder: Path) -> list[Pair]:
    """The pairs in ``folder/cloaked`` and ``folder/clean``."""
    parts = folder / "cloaked", folder / "clean"
    found = find(*parts) if all(part.is_dir() for part in parts) else []
    if not found:
        raise InputError(
            f"{folder}: expected the folders cloaked and clean in it, with pictures of the same names by other artists"
        )
    return found


def opened(
    pairs: Sequence[Pair], side: int, on_bad: Callable[[str], None] = lambda reason: None
) -> dict[Pair, tuple[Tensor, Tensor]]:
    """Cloaked and clean ``(1, 3, h, w)``, the short side at ``side``; ``on_bad`` hears why a pair is left out."""
    return {pair: (cloaked, clean) for pair, cloaked, clean in each(pairs, side, on_bad)}


def each(
    pairs: Sequence[Pair], side: int, on_bad: Callable[[str], None] = lambda reason: None
) -> Iterator[tuple[Pair, Tensor, Tensor]]:
    """The same, one pair at a time, for who does not need them all at once."""
    for pair in pairs:
        try:
            cloaked, clean = (working(read(path), side) for path in (pair.cloaked, pair.clean))
            if cloaked.shape != clean.shape:
                raise ImageError(f"{pair.cloaked}: expected the same proportions as {pair.clean}")
        except (VelaturaError, OSError) as error:
            on_bad(str(error))
        else:
            yield pair, cloaked, clean


def _is_picture(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in SUFFIXES and path.is_file() and not hidden
