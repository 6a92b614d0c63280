"""The style space: where styles are near and far, whatever model the cloak uses.

A picture's place is 144 numbers: the means and standard deviations of the surrogate's 72 latent channels at 256 px
short side (Glaze measures distance in Φ's space; first and second moments are what carries style in a feature map:
Gatys et al. 2016, Huang & Belongie 2017). It is fixed, so that a catalogue of numbers serves every model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.diffusion.extractors import Extractor

SHORT_SIDE = 256
MODEL = "surrogate"
CHANNELS = 72
NUMBERS = [f"{moment}{i}" for moment in ("mean", "std") for i in range(CHANNELS)]


@torch.no_grad()
def style_numbers(pictures: Tensor, extractor: Extractor) -> Tensor:
    """``(B, 144)`` style numbers of ``(B, 3, H, W)`` in [0, 1]; ``extractor`` is :data:`MODEL`."""
    features = extractor.encode(_resized(pictures)).flatten(2)  # (B, 72, positions)
    return torch.cat([features.mean(2), features.std(2)], dim=1)


def _resized(pictures: Tensor) -> Tensor:
    height, width = pictures.shape[-2:]
    # Of a scroll, the middle: no more than three squares.
    short = min(height, width)
    top, left = (max(0, (n - 3 * short) // 2) for n in (height, width))
    pictures = pictures[..., top : top + 3 * short, left : left + 3 * short]
    size = [max(8, round(n * SHORT_SIDE / short / 8) * 8) for n in pictures.shape[-2:]]
    if tuple(size) == tuple(pictures.shape[-2:]):
        return pictures
    return F.interpolate(pictures, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def distance(a: Sequence[float], b: Sequence[float], scale: Sequence[float]) -> float:
    """Root mean square of the differences, each in units of ``scale``: the usual spread within one artist."""
    terms = [((x - y) / s) ** 2 for x, y, s in zip(a, b, scale, strict=True)]
    return float((sum(terms) / len(terms)) ** 0.5)
