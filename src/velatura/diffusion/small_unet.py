"""A small U-Net from pictures to something of their size: the learned purifier's and the instant cloak's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from velatura.diffusion.blocks import ResidualBlock


class SmallUNet(nn.Module):
    """``(B, channels, H, W)`` to ``(B, 3, H, W)``; sides multiples of ``2 ** len(widths)``.

    Half the size at its first level, half of that at each further one; two residual blocks a level, down and up.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Sequential(ResidualBlock(w), ResidualBlock(w)) for w in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.grow = nn.ModuleList(
            nn.Sequential(nn.Conv2d(b, 4 * a, 1), nn.PixelShuffle(2)) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(nn.Sequential(ResidualBlock(w), ResidualBlock(w)) for w in widths[:-1])
        self.leave = nn.Conv2d(widths[0], 12, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.enter(F.pixel_unshuffle(pictures, 2))
        skipped = []
        for level, blocks in enumerate(self.down):
            x = blocks(x)
            if level < len(self.shrink):
                skipped.append(x)
                x = self.shrink[level](x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](self.grow[level](x) + skipped[level])
        return F.pixel_shuffle(self.leave(x), 2)
