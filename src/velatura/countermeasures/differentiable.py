"""Countermeasures that a gradient flows through, with settings drawn at random: for cloaks that are made under them.

A cloak is tested with the real ones (libjpeg, Pillow, OpenCV); these are what its optimiser sees in their place. Each
takes pictures ``(B, 3, H, W)`` in [0, 1] and a generator, and gives back pictures of that size in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.countermeasures.autoencoding import cut, padded
from velatura.diffusion.extractors import Extractor
from velatura.perception.pixels import blurred

Differentiable = Callable[[Tensor, torch.Generator], Tensor]
QUALITIES = (60.0, 95.0)
FACTORS = (0.4, 0.9)
SIGMAS = (0.01, 0.08)  # of noise, in units of the [0, 1] picture
BLURS = (0.4, 1.4)  # of a Gaussian, in pixels
KEPT = (0.85, 0.98)  # share of each side that a crop leaves
MODES = ("nearest", "bilinear", "bicubic", "area")

# Annex K of the JPEG standard (ITU-T T.81), tables K.1 and K.2.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_FROM_YCC = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def jpeg(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """JPEG of a quality between :data:`QUALITIES`, colour at half resolution."""
    return jpeg_of(pictures, _between(QUALITIES, draw))


def jpeg_of(pictures: Tensor, quality: float) -> Tensor:
    """JPEG with libjpeg's tables of a quality; the gradient passes through rounding as if it were not there."""
    height, width = pictures.shape[-2:]
    # Colour at half resolution comes in blocks of 16.
    whole = F.pad(pictures, (0, -width % 16, 0, -height % 16), mode="replicate")
    ycc = torch.einsum("ij,bjhw->bihw", whole.new_tensor(_TO_YCC), whole * 255)
    luminance = _quantised(ycc[:, :1] - 128, _table(_LUMINANCE, quality)) + 128
    chroma = _quantised(F.avg_pool2d(ycc[:, 1:], 2), _table(_CHROMINANCE, quality))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ij,bjhw->bihw", whole.new_tensor(_FROM_YCC), torch.cat([luminance, chroma], 1)) / 255
    return rgb[..., :height, :width].clamp(0, 1)


def resize(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """Smaller by a factor between :data:`FACTORS` and larger again, with two kernels of :data:`MODES`."""
    size = [max(1, round(n * _between(FACTORS, draw))) for n in pictures.shape[-2:]]
    down, up = (MODES[int(torch.randint(len(MODES), (1,), generator=draw))] for _ in range(2))
    small = _resized(pictures, size, down, antialias=down in ("bilinear", "bicubic"))
    return _resized(small, list(pictures.shape[-2:]), up).clamp(0, 1)


def crop(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """A part of each side between :data:`KEPT`, enlarged. It moves the picture."""
    height, width = pictures.shape[-2:]
    keep = _between(KEPT, draw)
    rows, columns = max(1, round(keep * height)), max(1, round(keep * width))
    top = int(torch.randint(height - rows + 1, (1,), generator=draw))
    left = int(torch.randint(width - columns + 1, (1,), generator=draw))
    part = pictures[..., top : top + rows, left : left + columns]
    return _resized(part, [height, width], "bicubic").clamp(0, 1)


def noise(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """Gaussian noise of a deviation between :data:`SIGMAS`."""
    sigma = _between(SIGMAS, draw)
    return (pictures + sigma * torch.randn(pictures.shape, generator=draw).to(pictures)).clamp(0, 1)


def blur(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """Gaussian blur of a sigma between :data:`BLURS`."""
    return blurred(pictures, _between(BLURS, draw))


def round_trip(model: Extractor) -> Differentiable:
    """Through a model's autoencoder and back."""
    return lambda pictures, draw: cut(model.view(padded(pictures, model.downscale)), pictures)


def _between(ends: tuple[float, float], draw: torch.Generator) -> float:
    return ends[0] + (ends[1] - ends[0]) * float(torch.rand(1, generator=draw))


def _resized(pictures: Tensor, size: list[int], mode: str, antialias: bool = False) -> Tensor:
    corners = None if mode in ("nearest", "area") else False
    return F.interpolate(pictures, size, mode=mode, align_corners=corners, antialias=antialias)


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """Blocks of 8 x 8 through the cosine transform, rounded to steps of ``table``, and back."""
    batch, channels, height, width = planes.shape
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    basis, steps = _cosines().to(planes), table.to(planes)
    found = basis @ blocks @ basis.T / steps
    rounded = found + (found.round() - found).detach()
    back = basis.T @ (rounded * steps) @ basis
    return back.transpose(3, 4).reshape(planes.shape)


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    """The orthonormal cosine transform (DCT-II) of eight numbers."""
    k, n = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    basis = torch.cos(math.pi * (2 * n + 1) * k / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis


def _table(values: tuple[tuple[int, ...], ...], quality: float) -> Tensor:
    """libjpeg's scaling of the standard tables."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(values) * scale + 50) / 100).floor().clamp(1, 255)
