"""What kind of picture a file holds, by its pixels: a line drawing is not cloaked as a painting is.

Rules of thumb with wide margins, tried on some 200 pictures of about 100 artists. What is looked at is small: the
picture as it shows on white at about 0.4 megapixels, a few dozen squares of its own pixels, and some rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from velatura.images.artwork import Artwork
from velatura.images.color import eight_bit_scale, flatten, to_srgb
from velatura.images.libvips import pyvips

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
LUMA = (0.299, 0.587, 0.114)
KNOTS = 33  # of a line of tones
FEW = 256  # colours that a palette holds
SPRITE = 640  # px; a longer side is not drawn pixel by pixel
FAINT = 0.25  # opacity; most watermarks are fainter
_VIEW = 400_000  # px; about what a mimic trains on
_TILE, _TILES = 128, 6  # px, and at most so many across and down
_DOTTED = 0.15  # drawings and paintings stay below 0.11, regular dots are above 0.16
_WINDOW = np.outer(*(np.hanning(_TILE + 1)[:_TILE],) * 2)
_DOWN, _ACROSS = np.meshgrid(np.fft.fftfreq(_TILE), np.fft.rfftfreq(_TILE), indexing="ij")
_FREQUENCY = np.hypot(_DOWN, _ACROSS)
_ROWS = 64  # and as many columns
_STRIP = 100_000  # px


@dataclass(frozen=True)
class Kind:
    """What :func:`kind` found.

    ``grey``: red, green and blue are equal up to a lossy file's rounding, whatever the mode.
    ``tones``: of a picture in one hue (sepia, blueprint, ink on yellowed paper), the colours it is made of: ``KNOTS``
    sRGB triples in [0, 1] by rising luma, from black by way of the tint to white. None for grey and colour ones.
    ``flat``: mostly areas of one colour, lines or dots; a change belongs to edges and texture, and shows elsewhere.
    ``name``: for reports.
    ``grid``: how many times a small picture was enlarged by repeating its pixels, exactly; see
    :func:`shrunk`. A fact about pixels: "pixel art" it is only with few colours on a small grid.
    ``colours``: how many, where they are 256 or fewer with 8 bits: a palette would do, and a cloaked file will be many
    times as large (:func:`growth`).
    ``transparent``: some of it does not show, or not fully.
    ``nothing``: why there is nothing to protect, as the end of a sentence ("it is one colour"), else None.
    """

    grey: bool
    tones: tuple[tuple[float, float, float], ...] | None
    flat: bool
    name: str
    grid: int | None
    colours: int | None
    transparent: bool
    nothing: str | None

    @property
    def colourless(self) -> bool:
        """Grey or in one hue: a change may only be one of lightness."""
        return self.grey or self.tones is not None


def kind(artwork: Artwork) -> Kind:
    """Look at a picture; about 0.1 s, of 24 megapixels half a second."""
    grid, colours = _grid(artwork), _colours(artwork)
    shown = artwork.image.crop(*shown_box(artwork))
    view = _view(shown)
    lab = _lab(view)
    grey = _is_grey(view, lab)
    tones = None if grey or not _is_one_hue(lab) else _tones(view)
    own_side = max(artwork.width, artwork.height) / (grid or 1)
    dots, lines = _has_screen(shown), (grey or tones is not None) and _has_lines(view)
    areas = _has_areas(view)
    if grid and colours and own_side <= SPRITE:
        name = "pixel art"
    elif dots:
        name = "screen tone"
    elif lines:
        name = "line art"
    elif areas:
        name = "flat colour"
    else:
        name = "grey picture" if grey else "colour picture" if tones is None else "one hue"
    transparent = artwork.alpha and bool(artwork.image[artwork.image.bands - 1].min() < _top(artwork))
    return Kind(grey, tones, dots or lines or areas, name, grid, colours, transparent, _nothing(artwork, shown, view))


def in_its_colours(kind: Kind, pictures: Tensor, delta: Tensor) -> Tensor:
    """δ ``(B, 3, H, W)`` such that ``pictures`` plus δ have no colour that their kind has not. Differentiable.

    Of a grey picture δ is the same in all channels. In a picture of one hue each pixel is moved along the line of its
    tones, as far in luma as δ goes there: brown ink becomes lighter brown, not grey. Others take δ as it is. ``delta``
    may have one channel, the change of luma.
    """
    import torch

    weights = delta.new_tensor(LUMA).view(1, 3, 1, 1)
    if delta.shape[1] == 3 and not kind.grey and kind.tones is None:
        return delta
    change = delta if delta.shape[1] == 1 else (weights * delta).sum(1, keepdim=True)
    if kind.tones is None:
        return change.expand(-1, 3, -1, -1)
    knots = delta.new_tensor(kind.tones)

    def tone(luma: Tensor) -> Tensor:
        place = luma[:, 0].clamp(0, 1) * (KNOTS - 1)
        low = place.detach().floor().clamp_max(KNOTS - 2).long()
        share = (place - low)[..., None]
        return torch.movedim(knots[low] * (1 - share) + knots[low + 1] * share, -1, 1)

    luma = (weights * pictures).sum(1, keepdim=True)
    return tone(luma + change) - tone(luma)


def shrunk(artwork: Artwork, kind: Kind) -> Artwork:
    """The picture on its own grid, one pixel for each that was repeated; as it is where it has none."""
    if not kind.grid:
        return artwork
    small = on_grid(artwork.image, kind.grid).copy_memory()
    return replace(artwork, image=small, width=small.width, height=small.height)


def on_grid(image: pyvips.Image, factor: int) -> pyvips.Image:
    """The first pixel of each cell, also of the incomplete ones at the right and at the bottom; lazy."""
    width, height = (-(-n // factor) * factor for n in (image.width, image.height))
    return image.embed(0, 0, width, height, extend="copy").subsample(factor, factor)


def enlarged(image: pyvips.Image, artwork: Artwork, kind: Kind) -> pyvips.Image:
    """``image``, on the grid of :func:`shrunk`, at the size of ``artwork`` again, pixels repeated; lazy.

    An image and not an artwork, since this stands between ``apply`` and ``encode``; the last cells may be incomplete.
    """
    if not kind.grid:
        return image
    return image.zoom(kind.grid, kind.grid).crop(0, 0, artwork.width, artwork.height)


def shown_box(artwork: Artwork, least: float = 4 / 255) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is at least so opaque; of the whole where nothing is, or all."""
    if artwork.alpha:
        alpha = artwork.image[artwork.image.bands - 1].numpy().reshape(artwork.height, artwork.width)
        shows = alpha >= least * _top(artwork)
        columns, rows = np.flatnonzero(shows.any(0)), np.flatnonzero(shows.any(1))
        if len(columns):
            left, top = int(columns[0]), int(rows[0])
            return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1
    return 0, 0, artwork.width, artwork.height


def growth(artwork: Artwork) -> float:
    """About how many times as large a lossless file becomes when it is cloaked: a cloak is grain, which PNG cannot
    press together. 1 where it hardly grows, and of lossy files."""
    if not artwork.lossless:
        return 1.0
    channels = 1 if artwork.grey else 3
    grain = artwork.width * artwork.height * channels * (_GRAIN + (artwork.bits - 8) / 8)
    return max(1.0, grain / artwork.source_bytes)


_GRAIN = 0.5  # bytes for a cloaked value of 8 bits; flat art with a cloak of the default intensity takes about that


def _top(artwork: Artwork) -> int:
    return 255 if artwork.bits == 8 else 65535


def _view(image: pyvips.Image) -> Array:
    """sRGB over white ``(h, w, 3)``, 8 bit, reduced by a whole factor: means of squares keep flat places flat."""
    image = flatten(image)
    factor = max(1, round((image.width * image.height / _VIEW) ** 0.5))
    if factor > 1:
        image = image.shrink(min(factor, image.width), min(factor, image.height))
    found: Array = to_srgb(image).rint().cast("uchar").numpy()
    return found


def _luma(view: Array) -> Array:
    return view.astype(np.float32) @ np.array(LUMA, np.float32)


def _cells(view: Array, side: int) -> Array:
    """Means of squares; what is over at the edges is left out, and a picture that is too small is one cell wide."""
    height, width = (max(side, n // side * side) for n in view.shape[:2])
    view = np.pad(view, ((0, max(0, height - len(view))), (0, max(0, width - view.shape[1])), (0, 0)), "edge")
    parts = view[:height, :width].reshape(height // side, side, width // side, side, view.shape[2])
    found: Array = parts.mean((1, 3), dtype=np.float32)
    return found


def _lab(view: Array) -> Array:
    lab: Array = pyvips.Image.new_from_array(view).copy(interpretation="srgb").colourspace("lab").numpy()
    return lab


def _is_grey(view: Array, lab: Array) -> bool:
    """A faint tint is more than 1.5 of chroma throughout; a red stamp is far from grey in its place."""
    chroma = _cells(lab[..., 1:], 8)
    return bool(
        (_apart(view) > 10).mean() <= 1e-3
        and _apart(_cells(view, 8)).max() <= 6
        and np.hypot(chroma[..., 0], chroma[..., 1]).mean() <= 1.5
    )


def _apart(view: Array) -> Array:
    """How far the channels of each pixel are apart."""
    red, green, blue = (view[..., i] for i in range(3))
    found: Array = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return found


def _is_one_hue(lab: Array) -> bool:
    """Whether colour is a function of lightness: how far it is from the mean of what is as light.

    In means of 8 pixels: single ones hold the noise of a JPEG's colours, and those that bled across edges.
    """
    place = (lab[..., 0].ravel() / 100 * 16).clip(0, 15.999)
    colour = lab[..., 1:].reshape(-1, 2).astype(np.float64)
    usual = _knots(place[::4], colour[::4], 17)
    off = _cells((colour - _along(usual, place)).reshape(*lab.shape[:2], 2), 8)
    distance = np.hypot(off[..., 0], off[..., 1])
    return bool(distance.mean() <= 2.3 and np.percentile(distance, 99.9) <= 8)


def _tones(view: Array) -> tuple[tuple[float, float, float], ...]:
    """The line of colours: what the mean colour of each luma differs from grey; nothing at its two ends."""
    colour = view.reshape(-1, 3) / 255.0
    luma = colour @ np.array(LUMA)
    tint = _knots((luma * (KNOTS - 1)).clip(0, KNOTS - 1.001), colour - luma[:, None], KNOTS, ends=True)
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


def _has_areas(view: Array) -> bool:
    """Half of it constant within 5 pixels, in a few colours, and hardly a place that is not near such a one.

    The second keeps out soft shading, which is nearly constant too; the third, a painting amid white paper.
    """
    spread = _range(view, 2)
    even = spread <= 8
    colours = np.sort(np.bincount((view[even] // 16).astype(np.int64) @ (1, 16, 256), minlength=8))[::-1]
    far = _range(even.view(np.uint8), 8) + even.view(np.uint8) == 0
    return bool((spread <= 4).mean() >= 0.45 and colours[:8].sum() >= 0.9 * even.sum() and far.mean() <= 0.1)


def _has_lines(view: Array) -> bool:
    """Ink and paper and next to nothing between but the edges of the ink: where mid tones lie, it is not even."""
    luma = _luma(view)
    low, high = np.percentile(luma, (1, 99))
    if high - low < 64:
        return False
    between = (luma > low + (high - low) / 4) & (luma < high - (high - low) / 4)
    soft = between & (_range(luma.astype(np.uint8), 2) < (high - low) / 4)
    most = np.convolve(np.bincount(luma.astype(np.int64).ravel(), minlength=256), np.ones(17), "same").max() / luma.size
    return bool(between.mean() <= 0.35 and soft.mean() <= 0.03 and most >= 0.3)


def _has_screen(image: pyvips.Image) -> bool:
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


def _nothing(artwork: Artwork, image: pyvips.Image, view: Array) -> str | None:
    top = _top(artwork)
    if artwork.alpha:
        alpha = image[image.bands - 1]
        most = alpha.max() / top
        if most == 0:
            return "it is transparent everywhere"
        if most < FAINT:
            return f"it is nearly transparent: nowhere more than {100 * most:.0f} % of it shows"
    # Means of squares vary less than pixels do, so that all of these are asked only where that may be the reason.
    if view.std((0, 1)).max() >= 1 or _deviation(flatten(image)) * 255 / top >= 1:
        return None
    if artwork.alpha and _deviation(image.flatten(max_alpha=top)) * 255 / top >= 1:  # over black
        return "it shows on a dark page only, and is looked at on a white one: put it on its background first"
    return "it is one colour"


def _deviation(image: pyvips.Image) -> float:
    """Of the channel that varies most: one more than a picture has, in the table of libvips, is for all of them."""
    return float(image.stats().numpy()[1:, 5].max())


def _grid(artwork: Artwork) -> int | None:
    """The largest factor by which repeating pixels makes this picture, from 2; a lossy file keeps none.

    Colours must change at four places across and down at least: a rectangle is no sprite.
    """
    image, found = artwork.image, 0
    if not artwork.lossless:
        return None
    for axis in (1, 0):
        step = max(1, (image.height if axis else image.width) // _ROWS)
        lines = np.atleast_3d(image.subsample(*((1, step) if axis else (step, 1))).numpy())
        lines = lines if axis else lines.swapaxes(0, 1)
        changes = np.flatnonzero((lines[:, 1:] != lines[:, :-1]).any((0, 2))) + 1
        if len(changes) < 4:
            return None
        found = gcd(found, *(int(place) for place in changes))
    for factor in range(found, 1, -1):
        if found % factor == 0:
            again = on_grid(image, factor).zoom(factor, factor).crop(0, 0, image.width, image.height)
            if (again == image).min() == 255:
                return factor
    return None


def _colours(artwork: Artwork) -> int | None:
    """How many colours there are, if at most :data:`FEW`; strip by strip, so that a photograph is soon done with."""
    if artwork.bits > 8:
        return None
    image, found = artwork.image, np.zeros(0, np.uint32)
    if image.bands == 1:
        return int(np.count_nonzero(image.hist_find().numpy()))
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop(0, top, image.width, min(rows, image.height - top)).numpy()
        codes = np.zeros(strip.shape[:2], np.uint32)
        for band in range(strip.shape[2]):
            codes = codes << 8 | strip[..., band]
        new = codes[:, 1:][codes[:, 1:] != codes[:, :-1]]
        found = np.unique(np.concatenate([found, codes[:, 0], new]))
        if len(found) > FEW:
            return None
    return len(found)
