"""What kind of picture a file holds, by its pixels: a line drawing is not cloaked as a painting is.

Rules of thumb with wide margins, tried on some 200 pictures of about 100 artists. What is looked at is small: the
picture as it shows on white at about 0.4 megapixels, a few dozen squares of its own pixels, and some rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from velatura.images.artwork import Artwork
from velatura.images.color import flatten, to_srgb
from velatura.images.drawn import has_areas, has_lines, has_screen
from velatura.images.libvips import pyvips
from velatura.images.tones import Array, Tones, in_tones, is_grey, is_one_hue, luma_of, tones_of

if TYPE_CHECKING:
    from torch import Tensor

FEW = 256  # colours that a palette holds
SPRITE = 640  # px; a longer side is not drawn pixel by pixel
FAINT = 0.25  # opacity; most watermarks are fainter
_VIEW = 400_000  # px; about what a mimic trains on
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
    tones: Tones | None
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
    grey = is_grey(view, lab)
    tones = None if grey or not is_one_hue(lab) else tones_of(view)
    own_side = max(artwork.width, artwork.height) / (grid or 1)
    dots, lines = has_screen(shown), (grey or tones is not None) and has_lines(view)
    areas = has_areas(view)
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

    Of colourless pictures the change of luma counts (:func:`velatura.images.tones.in_tones`). Others take δ as it is.
    ``delta`` may have one channel, the change of luma.
    """
    if delta.shape[1] == 3 and not kind.colourless:
        return delta
    return in_tones(kind.tones, pictures, delta if delta.shape[1] == 1 else luma_of(delta))


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


def _lab(view: Array) -> Array:
    lab: Array = pyvips.Image.new_from_array(view).copy(interpretation="srgb").colourspace("lab").numpy()
    return lab


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
