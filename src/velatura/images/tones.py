"""Pictures without colours: which are grey, which are in one hue, and how a change keeps to their tones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
Tones = tuple[tuple[float, float, float], ...]
LUMA = (0.299, 0.587, 0.114)
KNOTS = 33  # of a line of tones


def in_tones(tones: Tones | None, pictures: Tensor, change: Tensor) -> Tensor:
    """δ ``(B, 3, H, W)`` that a change of luma ``(B, 1, H, W)`` makes of pictures. Differentiable.

    Of grey pictures, which have no ``tones``, it is the same in all channels. Else each pixel is moved along the line
    of tones, as far as the change goes: brown ink becomes lighter brown, not grey.
    """
    import torch

    if tones is None:
        return change.expand(-1, 3, -1, -1)
    knots = change.new_tensor(tones)

    def tone(luma: Tensor) -> Tensor:
        place = luma[:, 0].clamp(0, 1) * (KNOTS - 1)
        low = place.detach().floor().clamp_max(KNOTS - 2).long()
        share = (place - low)[..., None]
        return torch.movedim(knots[low] * (1 - share) + knots[low + 1] * share, -1, 1)

    before = luma_of(pictures)
    return tone(before + change) - tone(before)


def luma_of(pictures: Tensor) -> Tensor:
    """``(B, 1, H, W)`` of ``(B, 3, H, W)``."""
    return (pictures.new_tensor(LUMA).view(1, 3, 1, 1) * pictures).sum(1, keepdim=True)


def is_grey(view: Array, lab: Array) -> bool:
    """Of sRGB ``(h, w, 3)``, 8 bit, and the same in CIELAB.

    A faint tint is more than 1.5 of chroma throughout; a red stamp is far from grey in its place.
    """
    chroma = _cells(lab[..., 1:], 8)
    return bool(
        (_apart(view) > 10).mean() <= 1e-3
        and _apart(_cells(view, 8)).max() <= 6
        and np.hypot(chroma[..., 0], chroma[..., 1]).mean() <= 1.5
    )


def is_one_hue(lab: Array) -> bool:
    """Whether colour, in CIELAB ``(h, w, 3)``, is a function of lightness.

    By how far it is from the mean of what is as light, in means of 8 pixels: single ones hold the noise of a JPEG's
    colours, and those that bled across edges.
    """
    place = (lab[..., 0].ravel() / 100 * 16).clip(0, 15.999)
    colour = lab[..., 1:].reshape(-1, 2).astype(np.float64)
    usual = _knots(place[::4], colour[::4], 17)
    off = _cells((colour - _along(usual, place)).reshape(*lab.shape[:2], 2), 8)
    distance = np.hypot(off[..., 0], off[..., 1])
    return bool(distance.mean() <= 2.3 and np.percentile(distance, 99.9) <= 8)


def tones_of(view: Array) -> Tones:
    """The line of colours: what the mean colour of each luma differs from grey; nothing at its two ends."""
    colour = view.reshape(-1, 3) / 255.0
    light = colour @ np.array(LUMA)
    tint = _knots((light * (KNOTS - 1)).clip(0, KNOTS - 1.001), colour - light[:, None], KNOTS, ends=True)
    tones = (np.linspace(0, 1, KNOTS)[:, None] + tint).clip(0, 1)
    return tuple((float(r), float(g), float(b)) for r, g, b in tones)


def _knots(place: Array, values: Array, count: int, *, ends: bool = False) -> Array:
    """Means of ``values`` near each of ``count`` knots, interpolated where nothing is near; ``ends``: 0 at both."""
    low = place.astype(np.int64)
    share, found = place - low, np.zeros((count, values.shape[1]))
    weight = np.bincount(low, 1 - share, count) + np.bincount(low + 1, share, count)
    known = weight > 1e-4 * len(place)
    if ends:
        known[[0, -1]] = True
    for i, value in enumerate(values.T):
        sums = np.bincount(low, value * (1 - share), count) + np.bincount(low + 1, value * share, count)
        mean = sums / weight.clip(1e-9)
        if ends:
            mean[[0, -1]] = 0
        found[:, i] = np.interp(np.arange(count), np.flatnonzero(known), mean[known])
    return found


def _along(knots: Array, place: Array) -> Array:
    low = place.astype(np.int64)
    share = (place - low)[:, None]
    found: Array = knots[low] * (1 - share) + knots[low + 1] * share
    return found


def _apart(view: Array) -> Array:
    """How far the channels of each pixel are apart."""
    red, green, blue = (view[..., i] for i in range(3))
    found: Array = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return found


def _cells(view: Array, side: int) -> Array:
    """Means of squares; what is over at the edges is left out, and a picture that is too small is one cell wide."""
    height, width = (max(side, n // side * side) for n in view.shape[:2])
    view = np.pad(view, ((0, max(0, height - len(view))), (0, max(0, width - view.shape[1])), (0, 0)), "edge")
    parts = view[:height, :width].reshape(height // side, side, width // side, side, view.shape[2])
    found: Array = parts.mean((1, 3), dtype=np.float32)
    return found


def luma(view: Array) -> Array:
    """``(h, w)`` of ``(h, w, 3)``, in the same units."""
    return view.astype(np.float32) @ np.array(LUMA, np.float32)
