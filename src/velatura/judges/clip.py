"""The genre judge of the Glaze paper, by CLIP.

Genre (Shan et al., USENIX Security 2023, "CLIP-based genre shift"): zero-shot, a mimicked picture succeeds where the
artist's true genre is among the three that CLIP finds nearest. Labels are bare words, as in the published
re-implementation (IMPRESS); ``(*GENRES, *DIGITAL)`` are its 39.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from velatura.diffusion.clip import MODEL, Clip, load
from velatura.errors import InputError
from velatura.judges.views import Pictures

__all__ = ["DIGITAL", "GENRES", "MODEL", "Clip", "genre_ranks", "load"]

# WikiArt's 27, as words.
GENRES = (
    *("abstract expressionism", "action painting", "analytical cubism", "art nouveau", "baroque"),
    *("color field painting", "contemporary realism", "cubism", "early renaissance", "expressionism", "fauvism"),
    *("high renaissance", "impressionism", "mannerism late renaissance", "minimalism", "naive art primitivism"),
    *("new realism", "northern renaissance", "pointillism", "pop art", "post impressionism", "realism", "rococo"),
    *("romanticism", "symbolism", "synthetic cubism", "ukiyo-e"),
)
DIGITAL = (
    *("anime", "caricature", "cartoon", "picture books", "comics", "commercial art", "concept art", "fantasy"),
    *("fashion", "fine art", "line art", "retro"),
)


def genre_ranks(pictures: Pictures, genre: str, clip: Clip, labels: Sequence[str] = GENRES) -> Tensor:
    """Place of the true ``genre`` among ``labels`` for each picture, ``(B,)`` int64, 1 for the nearest.

    The paper's genre shift is the share of mimicked pictures whose place is above 3.
    """
    if genre not in labels:
        raise InputError(f"genre: expected one of {', '.join(labels)}, got {genre!r}")
    likeness = clip.pictures(pictures) @ clip.texts(labels).T
    own = likeness[:, labels.index(genre)]
    return 1 + (likeness > own[:, None]).sum(1)
