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
SIZES = (1.25, 1.1, 0.75, 0.9)


class Closer:
    """The larger pictures ``detail`` ``(B, 3, H, W)``, at another size in each step; never smaller than ``smallest``.

    ``smallest``: height and width of the working size. ``part``: about the side, in the detail's pixels, of the parts
    whose distances are told apart, so that δ is not gathered in one.
    """

    def __init__(self, detail: Tensor, smallest: torch.Size, network: LPIPS, part: int) -> None:
        self.network, self.looks = network, []
        height, width = detail.shape[-2:]
        self.count = max(1, round(height / part)), max(1, round(width / part))
        for size in SIZES:
            at = max(smallest[0], round(size * height)), max(smallest[1], round(size * width))
            picture = F.interpolate(detail, at, mode="bicubic", antialias=True).clamp(0, 1)
            with torch.no_grad():
                self.looks.append((picture, network.features(picture)))
        self.turn = 0

    def __call__(self, change: Tensor) -> Tensor:
        """``(B, rows, columns)``: LPIPS, part by part, of the larger pictures to themselves with ``change`` added.

        ``change`` ``(B, 3, h, w)`` is enlarged about as it will be in the file.
        """
        picture, features = self.looks[self.turn % len(self.looks)]
        self.turn += 1
        with torch.autocast(change.device.type, enabled=False):  # resampling is not made for bf16
            # Bilinear has a gradient on every device; bicubic with antialiasing has none on Apple's.
            larger = F.interpolate(doubled(change.float()), picture.shape[-2:], mode="bilinear")
        return self.network.tiles(features, self.network.features(picture + larger), self.count)
