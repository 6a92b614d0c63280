"""How a picture is drawn, by its pixels: in areas of one colour, in lines, in dots at regular distances."""

from __future__ import annotations

from typing import Any

import numpy as np

from velatura.images.color import eight_bit_scale, flatten
from velatura.images.libvips import pyvips
from velatura.images.tones import Array, luma

_TILE, _TILES = 128, 6  # px, and at most so many across and down
_DOTTED = 0.15  # drawings and paintings stay below 0.11, regular dots are above 0.16
_WINDOW = np.outer(*(np.hanning(_TILE + 1)[:_TILE],) * 2)
_DOWN, _ACROSS = np.meshgrid(np.fft.fftfreq(_TILE), np.fft.rfftfreq(_TILE), indexing="ij")
_FREQUENCY = np.hypot(_DOWN, _ACROSS)


def has_areas(view: Array) -> bool:
    """Half of it constant within 5 pixels, in a few colours, and hardly a place that is not near such a one.

    The second keeps out soft shading, which is nearly constant too; the third, a painting amid white paper.
    """
    spread = _range(view, 2)
    even = spread <= 8
    colours = np.sort(np.bincount((view[even] // 16).astype(np.int64) @ (1, 16, 256), minlength=8))[::-1]
    far = _range(even.view(np.uint8), 8) + even.view(np.uint8) == 0
    return bool((spread <= 4).mean() >= 0.45 and colours[:8].sum() >= 0.9 * even.sum() and far.mean() <= 0.1)


def has_lines(view: Array) -> bool:
    """Ink and paper and next to nothing between but the edges of the ink: where mid tones lie, it is not even."""
    light = luma(view)
    low, high = np.percentile(light, (1, 99))
    if high - low < 64:
        return False
    between = (light > low + (high - low) / 4) & (light < high - (high - low) / 4)
    soft = between & (_range(light.astype(np.uint8), 2) < (high - low) / 4)
    most = (
        np.convolve(np.bincount(light.astype(np.int64).ravel(), minlength=256), np.ones(17), "same").max() / light.size
    )
    return bool(between.mean() <= 0.35 and soft.mean() <= 0.03 and most >= 0.3)


def has_screen(image: pyvips.Image) -> bool:
    """Dots at regular distances in two of the squares, at the file's own size; or black and white pixels mixed."""
    image = flatten(image)
    width, height = image.width, image.height
    if min(width, height) < _TILE:
        return False
    across, down = (np.linspace(0, n - _TILE, min(_TILES, n // _TILE)).astype(int) for n in (width, height))
    dotted, mixed = [], []
    for left, top in ((x, y) for y in down for x in across):
        tile = eight_bit_scale(image.crop(int(left), int(top), _TILE, _TILE)).numpy()
        tile = tile if tile.ndim == 2 else tile.mean(2)
        dotted.append(_dots(tile) if tile.std() > 15 else 0.0)
        mixed.append((np.abs(np.diff(tile, axis=1)) > 128).mean())
    return bool(sorted(dotted)[-min(2, len(dotted))] > _DOTTED or np.mean(mixed) > 0.2)


def _dots(tile: Array) -> float:
    """How much of the square's contrast lies in each of two waves that cross: lines make one, single edges none."""
    power = np.abs(np.fft.rfft2((tile - tile.mean()) * _WINDOW)) ** 2
    power[:, 0] /= 2  # there each wave stands twice
    whole = max(float(power[_FREQUENCY > 2.1 / _TILE].sum()), 1e-9)
    power[_FREQUENCY <= 1 / 20] = 0
    first, near = _peak(power)
    share = float(power[near].sum()) / whole
    if share <= _DOTTED:
        return share
    crosses = np.abs(_DOWN * _ACROSS[first] - _ACROSS * _DOWN[first]) > _FREQUENCY * _FREQUENCY[first] / 2
    power[near | ~crosses] = 0
    return min(share, float(power[_peak(power)[1]].sum()) / whole)


def _peak(power: Array) -> tuple[tuple[Any, ...], Array]:
    """The strongest wave and what belongs to it, also on the other side of the spectrum."""
    peak, near = np.unravel_index(power.argmax(), power.shape), np.zeros(power.shape, bool)
    for sign in (1, -1):
        down = _DOWN - sign * _DOWN[peak]
        near |= np.hypot(down - np.round(down), _ACROSS - sign * _ACROSS[peak]) < 3.1 / _TILE
    return peak, near


def _range(view: Array, reach: int) -> Array:
    """Of each pixel, the largest difference in any channel within ``reach`` pixels."""
    low = high = view
    for axis in (0, 1):
        around = [(reach, reach) if a == axis else (0, 0) for a in range(view.ndim)]
        lows, highs, length = np.pad(low, around, "edge"), np.pad(high, around, "edge"), view.shape[axis]
        for shift in range(2 * reach + 1):
            part = (slice(shift, shift + length),) if axis == 0 else (slice(None), slice(shift, shift + length))
            low, high = np.minimum(low, lows[part]), np.maximum(high, highs[part])
    found: Array = high - low
    return found if found.ndim == 2 else np.maximum(np.maximum(found[..., 0], found[..., 1]), found[..., 2])
