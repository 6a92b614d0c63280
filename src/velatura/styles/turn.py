"""How far a style has turned away: the angle of style vectors, in units of what lies between two styles."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.styles import catalogue


def turn(before: Tensor, after: Tensor) -> Tensor:
    """Of style vectors ``(B, 100)`` (``transfer.style_vector``) to those after a change, ``(B,)`` in 0 to about 10.

    1 less the cosine, by :func:`unit`: 0 is the same style, 1 as far as two styles usually lie apart.
    """
    turned: Tensor = (1 - F.cosine_similarity(before, after, dim=1)).clamp_min(0) / unit()
    return turned


@lru_cache(maxsize=1)
def unit() -> float:
    """The median of 1 less the cosine, over all pairs of styles of the embedded catalogue."""
    vectors = F.normalize(torch.tensor([style.vector for style in catalogue.load().styles]), dim=1)
    above = torch.triu_indices(len(vectors), len(vectors), 1)
    return float((1 - vectors @ vectors.T)[above[0], above[1]].median())
