"""How far the style of a picture has changed, as AlexNet sees it: which of its channels respond at the same places."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.perception import lpips
from velatura.perception.correlations import correlations

SIDE = 256  # px, short side: a scale model's pictures are enlarged, or AlexNet sees little of them
LAYERS = 3


@torch.no_grad()
def style(pictures: Tensor) -> Tensor:
    """Of pictures ``(B, 3, H, W)`` in [0, 1]: correlations of the first three layers' channels, ``(B, 6048)``."""
    height, width = pictures.shape[-2:]
    scale = SIDE / min(height, width)
    size = (round(height * scale), round(width * scale))
    seen = F.interpolate(pictures, size, mode="bicubic", antialias=True).clamp(0, 1)
    activations = lpips.load("alex", str(pictures.device)).activations(seen)
    return torch.cat([correlations(layer) for layer in activations[:LAYERS]], dim=1)


def style_change(before: Tensor, after: Tensor) -> Tensor:
    """1 less the cosine of two :func:`style`, ``(B,)``: 0 is the same style, 1 nothing in common.

    Two pictures by one artist lie at about 0.35, by different ones at 0.5; of one picture before and after a change,
    which share their subject, much less is much.
    """
    changed: Tensor = (1 - F.cosine_similarity(before, after, dim=1)).clamp_min(0)
    return changed
