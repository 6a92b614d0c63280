"""The instant cloak, ours: a small network that has learned what the optimiser does, and does it in one pass.

It takes a picture and T's style vector and gives δ. Taught on what the Glaze objective asks of the miniature's
autoencoder (training/train_instant.py), so it knows no other; weaker than an optimised cloak, and a start for one
(results/cloaks/instant.json).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from velatura import weights
from velatura.cloaks.budget import fit
from velatura.cloaks.cloak import Cloak
from velatura.errors import ContractError
from velatura.images.contract import check_pictures
from velatura.perception.color_difference import cell_difference, cells

WIDTHS = (24, 48, 96, 192)
STYLE, CONTROL = 100, 128  # numbers of a style vector, and of what the blocks are told of it
LARGEST = 0.2  # of δ in one channel
GROWTH = 4.0  # δ may be enlarged so many times to use the budget
MULTIPLE = 2 ** len(WIDTHS)


@dataclass(frozen=True)
class InstantSettings:
    """budget: p, LPIPS (AlexNet). cast: q, colour cast (ΔE, ``perception.color_difference.colour_cast``), or None."""

    budget: float = 0.05
    cast: float | None = None


class _Block(nn.Module):
    """SiLU, 3x3, scaled and shifted as the style wants, SiLU, 3x3, added to the input. Starts as no change."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.control = nn.Linear(CONTROL, 2 * channels)
        for layer in (self.conv2, self.control):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, control: Tensor) -> Tensor:
        scale, shift = self.control(control)[:, :, None, None].chunk(2, 1)
        return x + self.conv2(F.silu(self.conv1(F.silu(x)) * (1 + scale) + shift))


class Network(nn.Module):
    """Pictures ``(B, 3, H, W)`` in [0, 1], sides multiples of 16, and style vectors ``(B, 100)`` to δ ``(B, 3, H, W)``.

    A U-Net of 2.7 million parameters, half the picture's size at its first level, a sixteenth at its last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.style = nn.Sequential(nn.LayerNorm(STYLE), nn.Linear(STYLE, CONTROL), nn.SiLU())
        self.enter = nn.Conv2d(12, WIDTHS[0], 3, padding=1)
        self.down = nn.ModuleList(nn.ModuleList([_Block(w), _Block(w)]) for w in WIDTHS)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(WIDTHS))
        self.grow = nn.ModuleList(
            nn.Sequential(nn.Conv2d(b, 4 * a, 1), nn.PixelShuffle(2)) for a, b in pairwise(WIDTHS)
        )
        self.up = nn.ModuleList(nn.ModuleList([_Block(w), _Block(w)]) for w in WIDTHS[:-1])
        self.leave = nn.Conv2d(WIDTHS[0], 12, 3, padding=1)

    def forward(self, pictures: Tensor, styles: Tensor) -> Tensor:
        control = self.style(styles)
        x = self.enter(F.pixel_unshuffle(pictures - 0.5, 2))
        skipped = []
        for level, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, control)
            if level < len(self.shrink):
                skipped.append(x)
                x = self.shrink[level](x)
        for level in reversed(range(len(self.up))):
            x = self.grow[level](x) + skipped[level]
            for block in self.up[level]:  # type: ignore[attr-defined]
                x = block(x, control)
        return LARGEST * torch.tanh(F.pixel_shuffle(self.leave(x), 2))


@lru_cache(maxsize=4)
def network(device: str = "cpu") -> Network:
    """The network that ships, made once and reused."""
    module = Network()
    module.load_state_dict({k: v.float() for k, v in load_file(weights.embedded("instant")).items()})
    return module.requires_grad_(False).eval().to(device)


@torch.no_grad()
def direction(pictures: Tensor, styles: Tensor) -> Tensor:
    """δ ``(B, 3, H, W)`` as the network gives it, not yet in any budget.

    ``pictures``: ``(B, 3, H, W)`` in [0, 1], of any size. ``styles``: T's vectors, ``(1 or B, 100)``.
    """
    check_pictures(pictures, "pictures")
    if styles.ndim != 2 or styles.shape[1] != STYLE or styles.shape[0] not in (1, len(pictures)):
        raise ContractError(
            f"styles: expected a tensor of shape (1 or {len(pictures)}, {STYLE}), got {tuple(styles.shape)}"
        )
    height, width = pictures.shape[-2:]
    padded = F.pad(pictures, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
    found: Tensor = network(str(pictures.device))(padded, styles.to(pictures).expand(len(pictures), -1))
    return found[..., :height, :width]


def instant(pictures: Tensor, styles: Tensor, *, settings: InstantSettings) -> Cloak:
    """One pass, then scaled to the budget. Shapes as in :func:`direction`; ``pictures + delta`` is in [0, 1]."""
    found = fit(pictures, direction(pictures, styles), settings.budget, upper=GROWTH)
    if settings.cast is not None:  # a cast grows about as δ does
        over = cell_difference(cells(pictures), cells(pictures + found)) / settings.cast
        found = found / over.clamp_min(1).view(-1, 1, 1, 1)
    return Cloak(found, "instant", 1)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def flat(styles: Sequence[Sequence[float]]) -> Tensor:
    """Style vectors as the network takes them."""
    return torch.tensor([list(vector) for vector in styles])
