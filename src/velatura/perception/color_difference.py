"""Colour difference as eyes have it: CIEDE2000 of each pixel by libvips, and the colour cast, which has a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import pyvips
import torch
from torch import Tensor

from velatura.errors import ContractError
from velatura.images.contract import check_pictures
from velatura.perception.resampling import pooled


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


# Colours are compared from afar, from the usual distance and pixel by pixel: cells to the short side (None: pixels),
# and how much more difference is allowed there. A bound from afar alone is met by a screen of coloured dots, which
# LPIPS does not see either; white noise of one LPIPS has about equal parts of the last two.
SCALES: tuple[tuple[int | None, float], ...] = ((32, 1.0), (128, 1.0), (None, 2.5))
_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = (0.95047, 1.0, 1.08883)  # D65


def cells(pictures: Tensor, short: int | None = None) -> list[Tensor]:
    """CIELAB of the mean light in the cells of each of :data:`SCALES`, ``(B, 3, h, w)`` each. Differentiable.

    ``short``: the short side of the pictures that these are parts of; else their own.
    """
    linear = torch.where(
        pictures <= 0.04045, pictures / 12.92, ((pictures.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    )  # fmt: skip
    short, found = short or min(pictures.shape[-2:]), []
    for count, _ in SCALES:
        side = 1 if count is None else max(1, short // count)
        height, width = (max(1, n // side) for n in pictures.shape[-2:])
        found.append(lab(linear if side == 1 else pooled(linear, (height, width))))
    return found


def lab(linear: Tensor) -> Tensor:
    """CIELAB (D65) of linear sRGB ``(B, 3, h, w)``."""
    white = linear.new_tensor(_WHITE).view(1, 3, 1, 1)
    xyz = torch.einsum("ij,bjhw->bihw", linear.new_tensor(_TO_XYZ), linear) / white
    small = (6 / 29) ** 3
    f = torch.where(xyz > small, xyz.clamp_min(small) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def cell_difference(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The largest over scales of the difference of ``b`` to the reference ``a`` (:func:`cells`): ``(B,)``."""
    scaled = [_cie94(x, y) / allowed for x, y, (_, allowed) in zip(a, b, SCALES, strict=True)]
    return torch.stack(scaled).amax(0)


def _cie94(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square over places of the CIE94 difference of ``b`` to the reference ``a``: ``(B,)``.

    CIE94 (graphic arts) stays smooth where CIEDE2000 jumps; of small differences they agree within a factor of two.
    """
    step = b - a
    chroma_a, chroma_b = ((x[:, 1:].pow(2).sum(1) + 1e-6).sqrt() for x in (a, b))
    chroma = chroma_b - chroma_a
    hue = (step[:, 1:].pow(2).sum(1) - chroma.pow(2)).clamp_min(0)
    squared = step[:, 0].pow(2) + (chroma / (1 + 0.045 * chroma_a)).pow(2) + hue / (1 + 0.015 * chroma_a).pow(2)
    return (squared.mean((1, 2)) + 1e-8).sqrt()


@torch.no_grad()
def colour_cast(a: Tensor, b: Tensor) -> Tensor:
    """How far ``b`` differs from ``a`` in colour: ``(B,)`` in units of ΔE; side by side, about 1 is just visible.

    The largest over three scales (:data:`SCALES`) of the root mean square of CIE94. LPIPS hardly punishes casts and
    fine screens: the two budgets of a cloak complete each other.
    """
    check_pictures(a, "a")
    check_pictures(b, "b")
    if a.shape != b.shape:
        raise ContractError(f"colour_cast: expected two of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    return cell_difference(cells(a), cells(b))
