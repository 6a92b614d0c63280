"""Which channels of a network respond at the same places: style as a Gram matrix sees it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

MIXED = 64
PAIRS = MIXED * (MIXED - 1) // 2


def correlations(activations: Tensor) -> Tensor:
    """``(B, C, h, w)`` of one layer, 64 channels or more, to ``(B, 2016)`` float32 in [-1, 1]: the upper triangle.

    The Gram matrix of Gatys et al. (CVPR 2016, eq. 3) as correlations, so that loud and quiet pictures count the same.
    More than 64 channels are mixed down to 64 at random first.
    """
    flat = activations.flatten(2)
    if flat.shape[1] > MIXED:
        flat = torch.einsum("bcn,cm->bmn", flat, _mix(flat.shape[1]).to(flat.device))
    centred = flat - flat.mean(2, keepdim=True)
    unit = centred / centred.norm(dim=2, keepdim=True).clamp_min(1e-3 * flat.shape[2] ** 0.5)
    above = torch.triu_indices(MIXED, MIXED, 1)
    found: Tensor = (unit @ unit.transpose(1, 2))[:, above[0], above[1]]
    return found


@lru_cache(maxsize=8)
def _mix(channels: int) -> Tensor:
    """``(channels, 64)``; NumPy promises that this generator's stream never changes."""
    drawn = np.random.RandomState(channels).standard_normal((channels, MIXED)) / MIXED**0.5
    return torch.tensor(drawn, dtype=torch.float32)
