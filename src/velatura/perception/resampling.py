"""Average pooling and antialiased resizing, also on Apple's GPUs, whose kernels lack some sizes and gradients."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

WITHOUT_KERNELS = ("mps",)


def pooled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``adaptive_avg_pool2d``; MPS has it only where the sizes divide."""
    if x.device.type in WITHOUT_KERNELS:
        return by_matrices(x, *(pooling(n, m).to(x) for n, m in zip(x.shape[-2:], size, strict=True)))
    return F.adaptive_avg_pool2d(x, size)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with antialiasing; MPS has no gradient of it."""
    if x.device.type in WITHOUT_KERNELS:
        return by_matrices(x, *(resizing(n, m).to(x) for n, m in zip(x.shape[-2:], size, strict=True)))
    return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)


def by_matrices(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``(B, C, h, w)`` by ``(H, h)`` and ``(W, w)``: ``(B, C, H, W)``. Both operations are linear and separable."""
    return rows @ x @ columns.mT


@lru_cache(maxsize=64)
def pooling(length: int, count: int) -> Tensor:
    """``(count, length)``: what pooling does to one side; on the CPU."""
    return F.adaptive_avg_pool2d(torch.eye(length)[None, None], (count, length))[0, 0]


@lru_cache(maxsize=64)
def resizing(length: int, count: int) -> Tensor:
    """``(count, length)``: what resizing does to one side; on the CPU."""
    identity = torch.eye(length)[None, None]
    return F.interpolate(identity, (count, length), mode="bilinear", antialias=True, align_corners=False)[0, 0]
