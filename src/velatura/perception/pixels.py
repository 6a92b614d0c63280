"""Differences between pictures without any model of the eye."""

from __future__ import annotations

import torch


def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio ``(B,)`` in dB of pictures ``(B, 3, H, W)`` in [0, 1]; infinite for equal pictures."""
    return -10 * torch.log10((a - b).pow(2).flatten(1).mean(1))


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """L∞ ``(B,)`` in units of the [0, 1] picture."""
    return (a - b).abs().flatten(1).amax(1)


def share_left(original: torch.Tensor, cloaked: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """How much of δ = ``cloaked`` − ``original`` is in ``other`` − ``original``: ``(B,)``, the projection's length.

    1 for the cloaked picture itself, about 0 for the original or for anything unrelated; above 1 where δ was amplified
    (sharpening). 0 where there is no δ.
    """
    delta, found = (cloaked - original).flatten(1), (other - original).flatten(1)
    return (found * delta).sum(1) / delta.pow(2).sum(1).clamp_min(1e-12)
