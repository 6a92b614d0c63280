"""Long pictures: overlapping windows of the short side, blended into one δ.

A full-size encoder has attention and group normalisation over the whole picture, and a mimic crops squares: a scroll
must be cloaked as the mimic will see it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LONGEST = 2.0  # long side / short side up to which the picture is one window
OVERLAP = 0.25


def spans(length: int, window: int, multiple: int = 8) -> list[tuple[int, int]]:
    """Starts and ends of the fewest windows that cover ``length`` with at least ``OVERLAP`` of overlap."""
    if length <= window:
        return [(0, length)]
    stride = window * (1 - OVERLAP)
    count = -(-int(length - window) // int(stride)) + 1
    starts = [round(i * (length - window) / (count - 1) / multiple) * multiple for i in range(count)]
    return [(start, start + window) for start in starts]


def ramp(index: int, parts: list[tuple[int, int]]) -> Tensor:
    """Blending weights of window ``index`` along the long side: raised cosines that sum to one where two overlap."""
    start, end = parts[index]
    weights = torch.ones(end - start)
    if index and (overlap := parts[index - 1][1] - start) > 0:
        weights[:overlap] *= _rise(overlap)
    if index + 1 < len(parts) and (overlap := end - parts[index + 1][0]) > 0:
        weights[-overlap:] *= _rise(overlap).flip(0)
    return weights


def _rise(overlap: int) -> Tensor:
    return 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(overlap) + 0.5) / overlap)


def over_windows(
    pictures: Tensor, cloak: Callable[[Tensor, tuple[slice, slice], int, int], Tensor], *, transparent: bool = False
) -> Tensor:
    """δ of the whole ``(B, 3, H, W)`` from ``cloak(window, where, index, count)``, called once a window.

    ``where`` are the rows and columns of the window, to cut other pictures alike. ``transparent``: of pictures that are
    in places, where less of δ shows than its values say, so that the picture does not bound them.
    """
    height, width = pictures.shape[-2:]
    short, long = min(height, width), max(height, width)
    if long <= LONGEST * short:
        return cloak(pictures, (slice(0, height), slice(0, width)), 0, 1)
    parts = spans(long, short)
    total = torch.zeros_like(pictures)
    for index, (start, end) in enumerate(parts):
        along = slice(start, end)
        where = (along, slice(0, width)) if height > width else (slice(0, height), along)
        delta = cloak(pictures[:, :, where[0], where[1]], where, index, len(parts))
        weights = ramp(index, parts).to(pictures.device)
        weights = weights[:, None] if height > width else weights[None, :]
        total[:, :, where[0], where[1]] += delta * weights
    return total.clamp(-1, 1) if transparent else (pictures + total).clamp(0, 1) - pictures
