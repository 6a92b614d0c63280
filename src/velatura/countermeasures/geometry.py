"""Another framing: a perturbation that holds for one grid of pixels need not hold for the next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.countermeasures.arrays import Array, each
from velatura.countermeasures.resizing import resize
from velatura.countermeasures.settings import Settings, seed, setting
from velatura.images.contract import check_pictures


@dataclass(frozen=True)
class CropSettings(Settings):
    keep: float = setting(0.9, "share of each side that is kept", 0.1, 1)
    seed: int = seed()


@dataclass(frozen=True)
class RotateSettings(Settings):
    degrees: float = setting(3.0, "counter-clockwise", -45, 45)


def crop(pictures: Tensor, *, settings: CropSettings) -> Tensor:
    """A random part of each picture, enlarged to the picture's size with Lanczos."""

    def change(array: Array, index: int) -> Array:
        height, width = array.shape[:2]
        draw = torch.Generator().manual_seed(settings.seed + index)
        across, down = (float(v) * (1 - settings.keep) for v in torch.rand(2, generator=draw))
        left, top = across * width, down * height
        box = (left, top, left + settings.keep * width, top + settings.keep * height)
        return resize(array, (width, height), "lanczos", box)

    return each(pictures, change)


def rotate(pictures: Tensor, *, settings: RotateSettings) -> Tensor:
    """Turned about the middle and zoomed as little as leaves no empty corner; bicubic."""
    check_pictures(pictures)
    height, width = pictures.shape[-2:]
    angle = math.radians(settings.degrees)
    c, s = math.cos(angle), math.sin(angle)
    zoom = max(abs(c) + abs(s) * height / width, abs(c) + abs(s) * width / height)
    # Where each pixel of the result lies in the picture, in its coordinates of [-1, 1] both ways.
    matrix = torch.tensor([[c, -s * height / width, 0.0], [s * width / height, c, 0.0]]) / zoom
    grid = F.affine_grid(matrix[None].expand(len(pictures), 2, 3), list(pictures.shape), align_corners=False)
    turned = F.grid_sample(pictures, grid.to(pictures), mode="bicubic", padding_mode="reflection", align_corners=False)
    return turned.clamp(0, 1)
