"""Between a file's own size and the working resolution: pictures down, perturbations up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from velatura.errors import ImageError, InputError
from velatura.images.artwork import Artwork
from velatura.images.color import eight_bit_scale, flatten, to_srgb, usable_profile
from velatura.images.libvips import pyvips

if TYPE_CHECKING:  # torch itself is imported where it is used: the process that only decodes does not need it
    from torch import Tensor

MOST_ELONGATED = 50  # how much longer than wide a picture may be


def working_size(width: int, height: int, short_side: int, multiple: int = 8) -> tuple[int, int]:
    """Width and height to work at: the short side exact, the long side a multiple. Small pictures grow."""
    if min(width, height, short_side, multiple) < 1:
        raise InputError(f"working size: expected positive numbers, got {width}x{height}, {short_side}, {multiple}")
    long_side = max(width, height) * short_side / min(width, height)
    long_side = max(short_side, multiple * round(long_side / multiple))
    return (long_side, short_side) if width > height else (short_side, long_side)


def working(picture: Artwork | pyvips.Image, short_side: int) -> Tensor:
    """The picture at the working resolution: ``(1, 3, h, w)``, sRGB in [0, 1], reduced with Lanczos3.

    Raises ``ImageError`` for an artwork that is more than ``MOST_ELONGATED`` times as long as wide: enlarged to the
    short side, a line of a few bytes would fill the memory.
    """
    if isinstance(picture, Artwork):
        refuse_strips(picture)
    image = picture.image if isinstance(picture, Artwork) else picture
    return tensor(at_size(image, *working_size(image.width, image.height, short_side)))


def refuse_strips(artwork: Artwork) -> None:
    """Raise ``ImageError`` for what is too long to be enlarged to a short side."""
    short, long = sorted((artwork.width, artwork.height))
    if long > MOST_ELONGATED * short:
        size = f"{artwork.width}x{artwork.height}"
        raise ImageError(f"{artwork.name}: {size} is more than {MOST_ELONGATED} times as long as wide; cut it first")


def opacity(artwork: Artwork, short_side: int) -> Tensor | None:
    """How opaque the picture is at the working resolution: ``(1, 1, h, w)`` in [0, 1], or None where it is throughout.

    What of δ is seen: it is added to the colours, and the file's alpha stays.
    """
    if not artwork.alpha:
        return None
    alpha = eight_bit_scale(artwork.image[artwork.image.bands - 1])
    found = tensor(resized(alpha, *working_size(artwork.width, artwork.height, short_side)))
    return None if float(found.min()) > 1 - 1e-3 else found


def at_size(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Float sRGB at another size. Colours are converted after the reduction: the same to the eye and far cheaper."""
    # Float throughout: libvips reduces 8 bit pictures with 8 bit results, and δ is only a few steps of 1/255.
    if image.hasalpha() and usable_profile(image):  # blended after the conversion
        small = resized(eight_bit_scale(image).premultiply(max_alpha=255), width, height).unpremultiply(max_alpha=255)
    else:
        small = resized(eight_bit_scale(flatten(image)), width, height)
    return to_srgb((small > 255).ifthenelse(255, (small < 0).ifthenelse(0, small)))  # Lanczos overshoots


def crops(picture: Artwork | pyvips.Image, size: int, boxes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Squares of the picture at its own resolution, ``(1, 3, size, size)`` each; a box is its left and top."""
    image = picture.image if isinstance(picture, Artwork) else picture
    for left, top in boxes:
        if not (0 <= left <= image.width - size and 0 <= top <= image.height - size):
            raise InputError(f"crops: {size} px at ({left}, {top}) is not inside {image.width}x{image.height}")
    return [tensor(to_srgb(image.crop(left, top, size, size))) for left, top in boxes]


def tensor(srgb: pyvips.Image) -> Tensor:
    """An sRGB image, or one band (0 to 255), as ``(1, 3, h, w)`` or ``(1, 1, h, w)`` in [0, 1]."""
    import torch

    array = np.ascontiguousarray(np.atleast_3d(srgb.cast("float").numpy()).transpose(2, 0, 1)[None])
    return torch.from_numpy(array).div_(255).clamp_(0, 1)


def resized(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Lanczos3 where a side shrinks, bicubic where it grows; lazy."""
    x, y = width / image.width, height / image.height
    if x < 1 or y < 1:
        image = image.resize(min(x, 1), vscale=min(y, 1), kernel="lanczos3")
    if (image.width, image.height) != (width, height):
        # Not `resize`, which when enlarging displaces the picture by half a pixel of the result (libvips 8.18).
        image = image.affine(
            [max(x, 1), 0, 0, max(y, 1)],
            interpolate=pyvips.Interpolate.new("bicubic"),
            oarea=[0, 0, width, height],
            idx=0.5 if x > 1 else 0,
            idy=0.5 if y > 1 else 0,
            odx=-0.5 if x > 1 else 0,
            ody=-0.5 if y > 1 else 0,
            extend="copy",
        )
    return image


def resize_delta(delta: Tensor, width: int, height: int) -> pyvips.Image:
    """δ ``(1, C, h, w)`` as a lazy float image of the file's size, such that ``working`` of the file sees δ again.

    Only the smooth rest beyond :func:`doubled` is bicubic: white noise keeps 85 % of its amplitude.
    """
    import torch

    _, _, h, w = delta.shape
    values = delta.detach().to("cpu", torch.float32)
    if width > w and height > h:
        values = doubled(values)
    array = np.ascontiguousarray(values[0].permute(1, 2, 0).numpy())
    image = pyvips.Image.new_from_memory(array.data, array.shape[1], array.shape[0], array.shape[2], "float")
    return resized(image, width, height)


def doubled(delta: Tensor) -> Tensor:
    """δ ``(B, C, h, w)`` at twice its size, by Lanczos3, such that reducing it gives δ again. Differentiable.

    Enlarging with bicubic and reducing with Lanczos would leave white noise 69 % of its amplitude. So δ is sharpened
    first, once, by what a trip up and down loses of it.
    """

    def both(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return function(function(x).mT).mT

    return both(_twice, 2 * delta - both(_half, both(_twice, delta)))


def _twice(x: Tensor) -> Tensor:
    import torch

    return torch.stack([_filtered(x, taps, 1) for taps in _UP], -2).flatten(-3, -2)


def _half(x: Tensor) -> Tensor:
    return _filtered(x, _DOWN, 2)


def _filtered(x: Tensor, taps: Sequence[float], stride: int) -> Tensor:
    """``x`` ``(..., h, w)`` along its columns, every ``stride`` rows; the weights of what is inside sum to one.

    Sums of slices: with one channel several times as fast as torch's convolutions.
    """
    import torch
    import torch.nn.functional as F

    around = (len(taps) - stride) // 2
    rows = (x.shape[-2] - 1) // stride + 1

    def total(x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, around, around))
        parts = (tap * padded[..., k : k + stride * (rows - 1) + 1 : stride, :] for k, tap in enumerate(taps) if tap)
        return functools.reduce(torch.add, parts)

    return total(x) / total(torch.ones_like(x[..., :1]))


def _lanczos3(distance: float) -> float:
    return float(np.sinc(distance) * np.sinc(distance / 3)) if abs(distance) < 3 else 0.0


# Taps of Lanczos3 that doubles a side (two phases, a quarter of a pixel to either side), and of the one that halves it.
_UP = [[_lanczos3(offset + quarter) for offset in range(-3, 4)] for quarter in (0.25, -0.25)]
_DOWN = [_lanczos3((offset - 0.5) / 2) for offset in range(-5, 7)]


def middle(picture: Tensor, side: int) -> Tensor:
    """The square of ``side`` pixels in the middle of a picture ``(B, 3, H, W)`` that is at least as large."""
    top, left = ((length - side) // 2 for length in picture.shape[-2:])
    return picture[..., top : top + side, left : left + side]
