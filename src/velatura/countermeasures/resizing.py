"""Down and up again: what is finer than the smaller picture can hold is gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from velatura.countermeasures.arrays import Array, each
from velatura.countermeasures.settings import Settings, setting

KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class ResizeSettings(Settings):
    factor: float = setting(0.5, "size of the small picture, of the picture's own", 0.02, 1)
    down: str = setting("lanczos", "kernel", one_of=tuple(KERNELS))
    up: str = setting("lanczos", "kernel", one_of=tuple(KERNELS))


def down_up(pictures: Tensor, *, settings: ResizeSettings) -> Tensor:
    """Reduced by ``factor`` and enlarged again to the same size."""

    def change(array: Array, index: int) -> Array:
        height, width = array.shape[:2]
        small = (max(1, round(width * settings.factor)), max(1, round(height * settings.factor)))
        return resize(resize(array, small, settings.down), (width, height), settings.up)

    return each(pictures, change)


def resize(
    array: Array, size: tuple[int, int], kernel: str, box: tuple[float, float, float, float] | None = None
) -> Array:
    """Pillow's resampling in float, channel by channel: its RGB mode would round to 8 bits. ``size``: width, height."""
    planes = [Image.fromarray(array[..., c]).resize(size, KERNELS[kernel], box) for c in range(array.shape[2])]
    return np.stack([np.asarray(plane) for plane in planes], -1)
