"""VGG16's correlations in a picture: what style and fidelity are judged by.

VGG16 stays with the judges: no loss and no choice of T looks at it, so that no cloak and no mimic has learned to please
it. (What a trial of T asks was chosen among rules with its figures on tuning artists in view: docs/styles.md.)
The weights are LPIPS's trunk (ImageNet), the layers its five.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velatura.images.contract import check_pictures
from velatura.perception import correlations as pairs
from velatura.perception.lpips import load

LAYERS = 4  # of the correlations: the upper layer knows things rather than their painting
PAIRS = LAYERS * pairs.PAIRS
BATCH = 8  # pictures at 128 px: enough to be fast, 200 MB


@torch.no_grad()
def correlations(pictures: Tensor) -> Tensor:
    """Which channels respond at the same places, in the four lower ReLU layers: ``(B, 8064)`` float32 in [-1, 1].

    See :func:`velatura.perception.correlations.correlations`; layer by layer. A regression tells artists apart better
    by these than by the layers' means and deviations.

    ``pictures``: ``(B, 3, H, W)`` in [0, 1], 32 px a side or more.
    """
    check_pictures(pictures)
    network = load("vgg", str(pictures.device))
    rows = []
    for batch in torch.split(pictures, BATCH):
        rows.append(torch.cat([pairs.correlations(x) for x in network.activations(batch)[:LAYERS]], 1))
    return torch.cat(rows)
