"""Regurgitation: how many generated pictures are pictures of the training set over again.

A picture's layout is VGG16's activations at 64 px, at the three upper of LPIPS's layers, averaged on a grid, each
channel without its mean over the picture, each layer of unit length; the distance of two is 1 - cosine, mean over
layers. Those means are style: with them two pictures of one artist are near for being of one artist, and a threshold
that spares them misses twice as many blurred copies. At 64 px a generator's blur hardly counts, and no autoencoder is
needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.errors import InputError
from velatura.judges import embedded
from velatura.judges.views import SIDE, Pictures, opened, square
from velatura.perception.lpips import load

LAYOUT_SIDE = 64
GRID = 8
BATCH = 32


@dataclass(frozen=True, eq=False)
class Copies:
    """``distances`` ``(B,)`` to the nearest training picture, its index in ``nearest`` ``(B,)``, and the verdict."""

    distances: Tensor
    nearest: Tensor
    threshold: float

    @property
    def copied(self) -> int:
        """How many are closer than the threshold."""
        return int((self.distances < self.threshold).sum())

    @property
    def rate(self) -> float:
        return self.copied / len(self.distances)


def copy_rate(
    generated: Pictures, training: Pictures, *, threshold: float | None = None, device: str = "cpu"
) -> Copies:
    """Look for each generated picture's nearest training picture.

    Of a training picture its start, middle and end square count, each also mirrored: mimics are trained on such crops.
    The default threshold is the embedded one (``training/fit_judge.py``): 1 % of real pictures have another picture of
    their artist's as near as that. Report the rate of real pictures that are not in the training set beside it.
    """
    layouts = [layout(square(p).to(device)) for p in opened(generated)]
    originals, index = [], []
    for i, picture in enumerate(opened(training)):
        crops = torch.cat(list(squares(picture)))
        originals.append(layout(torch.cat([crops, crops.flip(-1)]).to(device)))
        index += [i] * len(originals[-1])
    if not layouts or not originals:
        raise InputError(f"copy_rate: expected pictures, got {len(layouts)} generated and {len(originals)} training")
    found = distances(torch.cat(layouts), torch.cat(originals)).min(1)
    limit = embedded.load().copy_threshold if threshold is None else threshold
    return Copies(found.values.cpu(), torch.tensor(index)[found.indices.cpu()], limit)


@torch.no_grad()
def layout(pictures: Tensor) -> Tensor:
    """``(B, 3, 128, 128)`` in [0, 1] to ``(B, n)`` whose dot products are the layers' mean cosines."""
    network = load("vgg", str(pictures.device))
    rows = []
    for batch in torch.split(pictures, BATCH):
        small = F.interpolate(batch, (LAYOUT_SIDE, LAYOUT_SIDE), mode="bicubic", antialias=True).clamp(0, 1)
        parts = []
        for x in network.activations(small)[2:]:
            cells = F.adaptive_avg_pool2d(x, min(GRID, x.shape[-1]))
            centred = (cells - cells.mean((2, 3), keepdim=True)).flatten(1)
            parts.append(F.normalize(centred, dim=1) / 3**0.5)
        rows.append(torch.cat(parts, 1))
    return torch.cat(rows)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """``(A, B)`` distances of layouts, 0 for equal pictures, about 1 for unrelated ones, 2 at most."""
    return (1 - a @ b.T).clamp_min(0)


def squares(picture: Tensor) -> Iterator[Tensor]:
    """Start, middle and end of the long side; a picture that is nearly square has but one square."""
    spare = max(picture.shape[-2:]) - SIDE
    for place in (0.0, 0.5, 1.0) if spare > SIDE // 16 else (0.5,):
        yield square(picture, place)
