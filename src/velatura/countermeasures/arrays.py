"""Tensors to the arrays of image libraries and back, one picture at a time."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velatura.errors import MissingExtra
from velatura.images.contract import check_pictures

Array = NDArray[Any]


def each(pictures: Tensor, change: Callable[[Array, int], Array]) -> Tensor:
    """``change(array, index)`` of each picture as float32 ``(H, W, 3)`` in [0, 1]; same size out, clipped to [0, 1]."""
    check_pictures(pictures)
    changed = []
    for index, picture in enumerate(pictures.detach().cpu()):
        array = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
        out = np.clip(np.asarray(change(array, index), dtype=np.float32), 0, 1)
        changed.append(torch.from_numpy(np.ascontiguousarray(out)).permute(2, 0, 1))
    return torch.stack(changed).contiguous().to(pictures.device)


def eight_bits(array: Array) -> Array:
    """What a file with 8 bits a channel holds."""
    rounded: Array = np.clip(array * 255, 0, 255).round().astype(np.uint8)
    return rounded


def opencv() -> Any:
    """OpenCV with its contributed modules, or a line that says how to install it."""
    return _library("cv2", "image filters")


def skimage() -> Any:
    """scikit-image's restoration, or a line that says how to install it."""
    return _library("skimage.restoration", "denoising")


def _library(name: str, feature: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra(feature, "lab") from None
