"""Where a picture is busy and hides a change, and where it is flat and shows it (masking; Legge & Foley 1980)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.perception.color_difference import cells

WINDOW = 7  # px: grain and strokes within it mask what lies upon them
FLATTEST = 0.25  # share of the picture


def activity(pictures: Tensor) -> Tensor:
    """Standard deviation of lightness (CIELAB L*) within :data:`WINDOW` px, ``(B, 1, H, W)``, of ``(B, 3, H, W)``."""
    lightness = cells(pictures)[-1][:, :1]
    lightness = lightness - lightness.mean((1, 2, 3), keepdim=True)  # for the sake of float32: a difference of squares
    reach = min(WINDOW // 2, *(n - 1 for n in pictures.shape[-2:]))
    wide = F.pad(lightness, (reach,) * 4, mode="reflect")
    mean, square = (F.avg_pool2d(x, 2 * reach + 1, 1) for x in (wide, wide * wide))
    return (square - mean * mean).clamp_min(0).sqrt()


def smoothed(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` with weights 1, 2, 1 along both sides, edges repeated: nothing is left of a two-pixel pattern.

    Sums of slices: with few channels several times as fast as torch's convolutions.
    """
    for _ in range(2):
        wide = torch.cat([x[..., :1], x, x[..., -1:]], -1)
        x = (0.25 * (wide[..., :-2] + wide[..., 2:]) + 0.5 * wide[..., 1:-1]).mT
    return x


def flat(pictures: Tensor) -> Tensor:
    """Which pixels are the picture's flattest quarter, ``(B, H, W)``; more where many are equally flat."""
    busy = activity(pictures)[:, 0]
    bound = torch.quantile(busy.flatten(1)[:, :: _stride(busy)], FLATTEST, dim=1)
    return busy <= bound[:, None, None]


def _stride(busy: Tensor) -> int:
    """torch.quantile takes 16 million numbers at most."""
    return -(-busy[0].numel() // 4_000_000)
