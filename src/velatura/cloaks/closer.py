"""LPIPS of a cloak as it will be seen in a file larger than the working resolution: enlarged.

AlexNet's first layer overlooks what is a pixel or two wide; enlarged with its picture, the same δ shows. A cloak that
was bounded at the working size alone would have to be weakened several times in the file (results/cloaks/closer.json).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.images.resample import doubled
from velatura.perception.lpips import LPIPS

# Of the detail's size, in turn. Not 1: what is optimised at one size is seen at others (the file's is checked then).
SIZES = (1.25, 0.75, 1.1, 0.9)


class Closer:
    """The larger pictures ``detail`` ``(B, 3, H, W)``, at another size in each step; never smaller than ``smallest``.

    ``smallest``: height and width of the working size.
    """

    def __init__(self, detail: Tensor, smallest: torch.Size, network: LPIPS) -> None:
        self.network, self.looks = network, []
        height, width = detail.shape[-2:]
        for size in SIZES:
            at = max(smallest[0], round(size * height)), max(smallest[1], round(size * width))
            picture = F.interpolate(detail, at, mode="bicubic", antialias=True).clamp(0, 1)
            with torch.no_grad():
                self.looks.append((picture, network.features(picture)))
        self.turn = 0

    def __call__(self, change: Tensor) -> Tensor:
        """``(B,)``: LPIPS of the larger pictures to themselves with ``change`` ``(B, 3, h, w)``, enlarged as it
        will be in the file, added.
        """
        picture, features = self.looks[self.turn % len(self.looks)]
        self.turn += 1
        with torch.autocast(change.device.type, enabled=False):  # resampling is not made for bf16
            larger = F.interpolate(doubled(change.float()), picture.shape[-2:], mode="bicubic", antialias=True)
        return self.network.compare(features, self.network.features(picture + larger))
