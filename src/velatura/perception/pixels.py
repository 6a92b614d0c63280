"""Differences between pictures without any model of the eye."""

from __future__ import annotations

import torch


def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio ``(B,)`` in dB of pictures ``(B, 3, H, W)`` in [0, 1]; infinite for equal pictures."""
    return -10 * torch.log10((a - b).pow(2).flatten(1).mean(1))


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """L∞ ``(B,)`` in units of the [0, 1] picture."""
    return (a - b).abs().flatten(1).amax(1)
