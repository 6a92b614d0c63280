"""Smoothing filters of OpenCV: "pixel smoothing" is the bilateral one over and over; AdverseCleaner adds guided ones.

OpenCV works on values from 0 to 255 here, as published recipes give their numbers for; ours are of the [0, 1] picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from velatura.countermeasures.arrays import Array, each, eight_bits, opencv
from velatura.countermeasures.settings import Settings, setting

FLOAT_MEDIAN = 5  # OpenCV takes the median of float pictures up to this size, beyond only of 8-bit ones


@dataclass(frozen=True)
class BlurSettings(Settings):
    sigma: float = setting(1.0, "of the Gaussian, in pixels", 0.1, 50)


@dataclass(frozen=True)
class MedianSettings(Settings):
    size: int = setting(3, "side of the window in pixels", one_of=(3, 5, 7, 9, 11))


@dataclass(frozen=True)
class BilateralSettings(Settings):
    rounds: int = setting(10, "how often", 1, 1000)
    diameter: int = setting(5, "of the window in pixels", 1, 51)
    colour: float = setting(0.1, "sigma in units of the [0, 1] picture: larger differences are edges", 0.001, 2)
    space: float = setting(5.0, "sigma in pixels", 0.1, 100)


@dataclass(frozen=True)
class GuidedSettings(Settings):
    radius: int = setting(4, "of the window in pixels", 1, 50)
    epsilon: float = setting(0.02, "differences below it are smoothed, in units of the [0, 1] picture", 0.0001, 2)
    rounds: int = setting(1, "how often, always guided by the picture as it came", 1, 100)


@dataclass(frozen=True)
class AdverseCleanerSettings(Settings):
    bilateral: int = setting(64, "bilateral passes (5, 8, 8)", 0, 1000)
    guided: int = setting(4, "guided passes (4, 16)", 0, 100)


def gaussian_blur(pictures: Tensor, *, settings: BlurSettings) -> Tensor:
    """Gaussian blur."""
    cv = opencv()
    size = 2 * round(4 * settings.sigma) + 1
    return each(pictures, lambda array, _: cv.GaussianBlur(array, (size, size), settings.sigma))


def median(pictures: Tensor, *, settings: MedianSettings) -> Tensor:
    """Median of each channel."""
    cv = opencv()
    if settings.size <= FLOAT_MEDIAN:
        return each(pictures, lambda array, _: cv.medianBlur(array, settings.size))
    return each(pictures, lambda array, _: cv.medianBlur(eight_bits(array), settings.size) / 255)


def bilateral(pictures: Tensor, *, settings: BilateralSettings) -> Tensor:
    """Bilateral filter (Tomasi & Manduchi, ICCV 1998), repeated: pixel smoothing."""
    cv = opencv()

    def change(array: Array, index: int) -> Array:
        for _ in range(settings.rounds):
            array = cv.bilateralFilter(array, settings.diameter, settings.colour, settings.space)
        return array

    return each(pictures, change)


def guided(pictures: Tensor, *, settings: GuidedSettings) -> Tensor:
    """Guided filter (He et al., ECCV 2010), guided by the picture itself, in colour."""
    cv = opencv()

    def change(array: Array, index: int) -> Array:
        guide = smooth = array * 255
        for _ in range(settings.rounds):
            smooth = cv.ximgproc.guidedFilter(guide, smooth, settings.radius, (255 * settings.epsilon) ** 2)
        return smooth / 255

    return each(pictures, change)


def adverse_cleaner(pictures: Tensor, *, settings: AdverseCleanerSettings) -> Tensor:
    """AdverseCleaner (lllyasviel, 2023): 64 bilateral (5, 8, 8), then 4 guided (4, 16) passes.

    The picture as it came guides the guided passes.
    """
    cv = opencv()

    def change(array: Array, index: int) -> Array:
        guide = smooth = array * 255
        for _ in range(settings.bilateral):
            smooth = cv.bilateralFilter(smooth, 5, 8, 8)
        for _ in range(settings.guided):
            smooth = cv.ximgproc.guidedFilter(guide, smooth, 4, 16)
        return smooth / 255

    return each(pictures, change)
