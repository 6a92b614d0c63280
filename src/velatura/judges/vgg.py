"""VGG16's statistics of a picture: what style, copies and fidelity are judged by.

VGG16 stays with the judges (HOUSE.md, contract 6): no loss, no choice of T and no tuning uses it, so that no cloak and
no mimic has learned to please it. The weights are LPIPS's trunk (ImageNet), the layers its five.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velatura.images.contract import check_pictures
from velatura.perception.lpips import load

NUMBERS = 2 * (64 + 128 + 256 + 512 + 512)
BATCH = 8  # pictures at 128 px: enough to be fast, 200 MB


@torch.no_grad()
def statistics(pictures: Tensor) -> Tensor:
    """Mean and standard deviation of each channel of five ReLU layers: ``(B, 2944)`` float32, on the same device.

    ``pictures``: ``(B, 3, H, W)`` in [0, 1], 32 px a side or more. Order: layer by layer, its means, its deviations.
    Such moments without places are a picture's style in Huang & Belongie (ICCV 2017) and in Magenta's networks.
    """
    check_pictures(pictures)
    network = load("vgg", str(pictures.device))
    rows = []
    for batch in torch.split(pictures, BATCH):
        taps = network.activations(batch)
        moments = [m for x in taps for m in (x.mean((2, 3)), x.var((2, 3), correction=0).clamp_min(0).sqrt())]
        rows.append(torch.cat(moments, 1))
    return torch.cat(rows)
