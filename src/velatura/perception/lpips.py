"""LPIPS, the learned perceptual distance (Zhang et al., CVPR 2018, v0.1 linear heads).

AlexNet's serves budgets and losses; VGG16's belongs to the judges alone (docs/house: contract 6).
Weights: converted by ``training/convert_lpips.py``; see ``data/lpips/README.md``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from velatura import weights
from velatura.errors import ContractError
from velatura.images.contract import check_pictures
from velatura.perception.resampling import pooled

Net = Literal["alex", "vgg"]

# One entry a convolution: (channels, kernel, stride, padding); "tap" marks a compared layer.
_LAYERS: dict[str, list[tuple[int, int, int, int] | str]] = {
    "alex": [
        (64, 11, 4, 2), "tap", "pool3",
        (192, 5, 1, 2), "tap", "pool3",
        (384, 3, 1, 1), "tap", (256, 3, 1, 1), "tap", (256, 3, 1, 1), "tap",
    ],
    "vgg": [
        (64, 3, 1, 1), (64, 3, 1, 1), "tap", "pool2",
        (128, 3, 1, 1), (128, 3, 1, 1), "tap", "pool2",
        (256, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1), "tap", "pool2",
        (512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1), "tap", "pool2",
        (512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1), "tap",
    ],
}  # fmt: skip
SMALLEST = {"alex": 32, "vgg": 32}


class LPIPS(nn.Module):
    """The distance as a module; :func:`lpips` is the plain function.

    ``features`` of one picture can be kept and compared again with ``compare``: a cloak compares
    hundreds of times with the same original.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.convolutions = nn.ModuleList()
        self.heads = nn.ParameterList()
        channels = 3
        for layer in _LAYERS[net]:
            if isinstance(layer, tuple):
                width, kernel, stride, padding = layer
                self.convolutions.append(nn.Conv2d(channels, width, kernel, stride, padding))
                channels = width
            elif layer == "tap":
                self.heads.append(nn.Parameter(torch.zeros(1, channels, 1, 1)))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def features(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Unit-normalised activations of the five compared layers of ``(B, 3, H, W)`` in [0, 1]."""
        return unit(self.activations(pictures))

    def activations(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """ReLU activations of the five compared layers as they are, ``(B, C, h, w)`` each."""
        if min(pictures.shape[-2:]) < SMALLEST[self.net]:
            raise ContractError(
                f"LPIPS needs pictures of at least {SMALLEST[self.net]} px a side, got {tuple(pictures.shape[-2:])}"
            )
        x = ((pictures * 2 - 1) - self.shift) / self.scale
        convolutions = iter(self.convolutions)
        taps = []
        for layer in _LAYERS[self.net]:
            if isinstance(layer, tuple):
                x = F.relu(next(convolutions)(x))
            elif layer == "tap":
                taps.append(x)
            else:
                x = F.max_pool2d(x, int(layer[-1]), 2)
        return taps

    def compare(
        self, a: list[torch.Tensor], b: list[torch.Tensor], opacity: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Distance ``(B,)`` between two results of :meth:`features`; the mean over what shows, by ``(B, 1, H, W)``."""
        if opacity is None:
            return self.tiles(a, b, (1, 1)).flatten()
        found = torch.zeros(len(a[0]), device=a[0].device)
        for x, y, head in zip(a, b, self.heads, strict=True):
            apart = ((x - y).pow(2) * head).sum(1)
            shown = pooled(opacity, (apart.shape[-2], apart.shape[-1]))[:, 0]
            found = found + (apart * shown).sum((1, 2)) / shown.sum((1, 2)).clamp_min(1e-6)
        return found

    def tiles(self, a: list[torch.Tensor], b: list[torch.Tensor], count: tuple[int, int]) -> torch.Tensor:
        """Distances ``(B, rows, columns)`` of so many parts of the pictures; their mean is about the whole's."""
        maps = [((x - y).pow(2) * w).sum(1) for x, y, w in zip(a, b, self.heads, strict=True)]
        return torch.stack([pooled(x, count) for x in maps]).sum(0)


def unit(activations: list[torch.Tensor]) -> list[torch.Tensor]:
    """Activations ``(B, C, h, w)`` whose channels are of unit length at each place: what LPIPS compares."""
    return [x / (x.pow(2).sum(1, keepdim=True).clamp_min(1e-12).sqrt() + 1e-10) for x in activations]


@lru_cache(maxsize=8)
def load(net: Net = "alex", device: str = "cpu") -> LPIPS:
    """The network with its published weights, float32, frozen; made once and reused."""
    module = LPIPS(net)
    module.load_state_dict({k: v.float() for k, v in load_file(weights.embedded(f"lpips-{net}")).items()})
    return module.to(device)


@torch.no_grad()
def lpips(a: torch.Tensor, b: torch.Tensor, net: Net = "alex") -> torch.Tensor:
    """LPIPS v0.1 between pictures ``(B, 3, H, W)`` in [0, 1]: ``(B,)``, 0 for equal pictures, about 1 for unrelated."""
    check_pictures(a, "a")
    check_pictures(b, "b")
    if a.shape != b.shape:
        raise ContractError(f"LPIPS: expected two tensors of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    module = load(net, str(a.device))
    return module.compare(module.features(a), module.features(b))
