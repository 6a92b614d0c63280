"""How far a picture's style has moved in a model's eyes: a fast figure that asks for no mimic and no other pictures."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from velatura.diffusion import extractors
from velatura.errors import InputError
from velatura.judges import embedded
from velatura.judges.views import Pictures


def style_moves(before: Pictures, after: Pictures, *, device: str = "cpu") -> Tensor:
    """Distance from each picture of ``before`` to the same one of ``after`` in the judges' coordinates, ``(B,)``.

    In units of :func:`unit`: 0 is the same style, 1 as far apart as two pictures by one artist usually are, about 1.4
    two by different artists. Any size: both are seen as the judges see everything, at 128 px through the miniature's
    autoencoder; give the decoded views of another model to look through its eyes first.
    """
    space, eye = embedded.load().space, extractors.load("mini", device)
    first, second = (space.places(pictures, eye) for pictures in (before, after))
    if not len(first) or len(first) != len(second):
        raise InputError(f"expected the same pictures before and after, got {len(first)} and {len(second)}")
    return apart(first, second)


def apart(before: Tensor, after: Tensor) -> Tensor:
    """The same, ``(B,)``, of coordinates ``(B, K)``."""
    distances: Tensor = (before - after).norm(dim=1)
    return distances / unit()


@lru_cache(maxsize=1)
def unit() -> float:
    """The median distance of two pictures by one artist, near-duplicates aside, over the embedded artists."""
    known = embedded.load()
    plain_views = known.features[:, 0]
    same = (known.labels[:, None] == known.labels) & (known.groups[:, None] != known.groups)
    return float(torch.cdist(plain_views, plain_views)[same].median())
