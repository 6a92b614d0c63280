"""VGG16's correlations in a picture: what style and fidelity are judged by.

VGG16 stays with the judges (HOUSE.md, contract 6): no loss, no choice of T and no tuning uses it, so that no cloak and
no mimic has learned to please it. The weights are LPIPS's trunk (ImageNet), the layers its five.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from velatura.images.contract import check_pictures
from velatura.perception.lpips import load

LAYERS, MIXED = 4, 64  # of the correlations: the upper layer knows things rather than their painting
PAIRS = LAYERS * MIXED * (MIXED - 1) // 2
BATCH = 8  # pictures at 128 px: enough to be fast, 200 MB


@torch.no_grad()
def correlations(pictures: Tensor) -> Tensor:
    """Which channels respond at the same places, in the four lower ReLU layers: ``(B, 8064)`` float32 in [-1, 1].

    The Gram matrices of Gatys et al. (CVPR 2016, eq. 3) as correlations, so that loud and quiet pictures count the
    same; above the diagonal, layer by layer. Layers with more than 64 channels are mixed down to 64 at random first.
    A regression tells artists apart better by these than by the layers' means and deviations.

    ``pictures``: ``(B, 3, H, W)`` in [0, 1], 32 px a side or more.
    """
    check_pictures(pictures)
    network = load("vgg", str(pictures.device))
    above = torch.triu_indices(MIXED, MIXED, 1)
    rows = []
    for batch in torch.split(pictures, BATCH):
        parts = []
        for x in network.activations(batch)[:LAYERS]:
            flat = x.flatten(2)
            if flat.shape[1] > MIXED:
                flat = torch.einsum("bcn,cm->bmn", flat, _mix(flat.shape[1]).to(flat.device))
            centred = flat - flat.mean(2, keepdim=True)
            length = centred.norm(dim=2, keepdim=True).clamp_min(1e-3 * flat.shape[2] ** 0.5)
            unit = centred / length
            parts.append((unit @ unit.transpose(1, 2))[:, above[0], above[1]])
        rows.append(torch.cat(parts, 1))
    return torch.cat(rows)


@lru_cache(maxsize=LAYERS)
def _mix(channels: int) -> Tensor:
    """``(channels, 64)``; NumPy promises that this generator's stream never changes."""
    drawn = np.random.RandomState(channels).standard_normal((channels, MIXED)) / MIXED**0.5
    return torch.tensor(drawn, dtype=torch.float32)
