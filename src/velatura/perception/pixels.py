"""Differences between pictures without any model of the eye."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio ``(B,)`` in dB of pictures ``(B, 3, H, W)`` in [0, 1]; infinite for equal pictures."""
    return -10 * torch.log10((a - b).pow(2).flatten(1).mean(1))


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """L∞ ``(B,)`` in units of the [0, 1] picture."""
    return (a - b).abs().flatten(1).amax(1)


def ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Structural similarity ``(B,)`` of pictures ``(B, 3, H, W)`` in [0, 1], 11 px or more a side; 1 for equal ones.

    Wang et al. 2004: Gaussian window of 11 px, σ 1.5, without padding; mean over channels.
    """
    line = torch.exp(-0.5 * ((torch.arange(11, device=a.device) - 5) / 1.5) ** 2)
    line = line / line.sum()
    window = (line[:, None] * line[None]).expand(a.shape[1], 1, -1, -1)

    def local(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, window, groups=x.shape[1])

    mean_a, mean_b = local(a), local(b)
    variance_a, variance_b = local(a * a) - mean_a**2, local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance_a + variance_b + 0.03**2)
    return (light * structure).flatten(1).mean(1)


def blurred(pictures: torch.Tensor, sigma: float, *, reach: float = 4.0) -> torch.Tensor:
    """Gaussian blur of ``(B, C, H, W)``, sigma in pixels, edges mirrored; cut off ``reach`` sigmas from the middle."""
    pixels = max(1, round(reach * sigma))
    line = torch.exp(-0.5 * (torch.arange(-pixels, pixels + 1) / sigma) ** 2).to(pictures)
    line = (line / line.sum()).expand(pictures.shape[1], 1, -1)
    for kernel, padding in ((line[:, :, None], (pixels, pixels, 0, 0)), (line[..., None], (0, 0, pixels, pixels))):
        pictures = F.conv2d(F.pad(pictures, padding, mode="reflect"), kernel, groups=pictures.shape[1])
    return pictures


def share_left(original: torch.Tensor, cloaked: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """How much of δ = ``cloaked`` − ``original`` is in ``other`` − ``original``: ``(B,)``, the projection's length.

    1 for the cloaked picture itself, about 0 for the original or for anything unrelated; above 1 where δ was amplified
    (sharpening). 0 where there is no δ.
    """
    delta, found = (cloaked - original).flatten(1), (other - original).flatten(1)
    return (found * delta).sum(1) / delta.pow(2).sum(1).clamp_min(1e-12)
