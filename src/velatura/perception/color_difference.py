"""Colour difference as eyes have it: CIEDE2000, computed by libvips."""

from __future__ import annotations

import pyvips
import torch

from velatura.errors import ContractError
from velatura.images.contract import check_pictures


def delta_e(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """CIEDE2000 between sRGB pictures ``(B, 3, H, W)`` in [0, 1]: a map ``(B, H, W)``; about 1 is just visible."""
    check_pictures(a, "a")
    check_pictures(b, "b")
    if a.shape != b.shape:
        raise ContractError(f"delta_e: expected two tensors of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    maps = [torch.from_numpy(_lab(x).dE00(_lab(y)).numpy().copy()) for x, y in zip(a, b, strict=True)]
    return torch.stack(maps).reshape(len(a), *a.shape[-2:])


def _lab(picture: torch.Tensor) -> pyvips.Image:
    # 16 bits: going through 8 would add a rounding error of its own to what is often a difference of 1 in 255.
    array = (picture.detach().permute(1, 2, 0).clamp(0, 1) * 65535).round().cpu().numpy().astype("uint16")
    image = pyvips.Image.new_from_array(array, interpretation="rgb16")
    return image.colourspace("lab")
