"""What the small networks are built of. No diffusers here: importing it takes longer than a cloak's first steps."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn


class ResidualBlock(nn.Module):
    """SiLU, 3x3, SiLU, 3x3, added to the input; the last convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(cast(torch.Tensor, self.conv2.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shift: torch.Tensor = self.conv2(F.silu(self.conv1(F.silu(x))))
        return x + shift
