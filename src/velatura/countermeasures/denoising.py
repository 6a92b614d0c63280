"""Denoisers that know pictures: piecewise smooth ones (total variation), self-similar ones (non-local means)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from velatura.countermeasures.arrays import Array, each, eight_bits, opencv, skimage
from velatura.countermeasures.settings import Settings, setting


@dataclass(frozen=True)
class TotalVariationSettings(Settings):
    weight: float = setting(0.05, "the larger, the smoother", 0.0001, 10)


@dataclass(frozen=True)
class NonLocalMeansSettings(Settings):
    strength: float = setting(5.0, "OpenCV's h for brightness and colour; 3 to 10 is usual", 0.1, 100)
    patch: int = setting(7, "side of the patches that are compared, in pixels", one_of=(3, 5, 7, 9, 11))
    window: int = setting(21, "how far similar patches are looked for, in pixels", 3, 101)


def total_variation(pictures: Tensor, *, settings: TotalVariationSettings) -> Tensor:
    """Chambolle's method (2004) for the Rudin-Osher-Fatemi model, in colour; scikit-image."""
    restoration = skimage()

    def change(array: Array, index: int) -> Array:
        smooth: Array = restoration.denoise_tv_chambolle(array, weight=settings.weight, channel_axis=-1)
        return smooth

    return each(pictures, change)


def non_local_means(pictures: Tensor, *, settings: NonLocalMeansSettings) -> Tensor:
    """Non-local means (Buades et al. 2005), in 8 bits, brightness and colour apart; OpenCV."""
    cv = opencv()
    h, patch, window = settings.strength, settings.patch, settings.window

    def change(array: Array, index: int) -> Array:
        # It takes BGR, and weighs the channels by that.
        swapped = eight_bits(array[..., ::-1]).copy()
        smooth: Array = cv.fastNlMeansDenoisingColored(swapped, None, h, h, patch, window)[..., ::-1] / 255
        return smooth

    return each(pictures, change)
