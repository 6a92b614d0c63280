"""The surrogate: one small encoder that sees as the autoencoders of five diffusion model families do.

A cloak lives in the latent space that it was computed in. This network imitates five of them at once (Stable Diffusion
1 and 2, SDXL, Stable Diffusion 3, FLUX.1, FLUX.2) for a fifteenth of what the five distilled autoencoders together
cost. It was distilled from them by ``training/train_surrogate.py``; the card in ``data/surrogate`` has its figures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

HEADS: dict[str, int] = {"sd15": 4, "sdxl": 4, "sd3": 16, "flux1": 16, "flux2": 32}
"""Latent channels by family, in the order in which they leave the network."""
PATCH = 16  # px that the linear path sees of a picture for one latent, at a stride of 8


class Block(nn.Module):
    """3x3, ReLU, 3x3, added to the input; the last convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        if self.conv2.bias is not None:
            nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.relu(self.conv1(F.relu(x))))
        return x + change


def encoder(stem: int, widths: tuple[int, ...], blocks: tuple[int, ...], channels: int) -> nn.Sequential:
    """Pictures to ``channels`` latents at an eighth of their size.

    A thin convolution at full resolution comes before anything is reduced: a network that starts by putting pixels of
    two by two together overlooks patterns of that size, and cloaks fall into what it overlooks.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, stem, 3, padding=1), nn.ReLU(), nn.PixelUnshuffle(2)]
    before = 4 * stem
    for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        layers.append(nn.Conv2d(before, width, 3, stride=2 if i else 1, padding=1))
        layers += [Block(width) for _ in range(count)]
        before = width
    last = nn.Conv2d(before, channels, 3, padding=1)
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, nn.ReLU(), last)


@dataclass(frozen=True)
class Latents:
    """What :meth:`Surrogate.encode` returns, as diffusers' ``AutoencoderTiny`` does."""

    latents: Tensor


@dataclass(frozen=True)
class Sample:
    """What :meth:`Surrogate.decode` returns."""

    sample: Tensor


class Surrogate(nn.Module):
    """Takes pictures ``(B, 3, H, W)`` in [-1, 1], as diffusers' autoencoders do; H and W multiples of 8.

    Latents are ``(B, 72, H/8, W/8)``: those of :data:`HEADS` one after the other, each in its own model's units. The
    trunk's output is added to that of one linear layer, and both are normalised by channel (``shift``, ``scale``).
    It is a plain module: importing diffusers would take longer than protecting a picture's first steps.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, stem: int = 8, widths: Sequence[int] = (32, 96, 192), blocks: Sequence[int] = (1, 1, 2)) -> None:
        super().__init__()
        channels = sum(HEADS.values())
        self.config: dict[str, Any] = {
            "_class_name": "Surrogate", "latent_channels": channels,
            "stem": stem, "widths": list(widths), "blocks": list(blocks),
        }  # fmt: skip
        self.encoder = encoder(stem, tuple(widths), tuple(blocks), channels)
        self.linear = nn.Conv2d(3, channels, PATCH, stride=8, padding=(PATCH - 8) // 2)
        self.register_buffer("shift", torch.zeros(1, channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))
        self.decoder: nn.Module | None = None

    def normalised(self, x: Tensor) -> Tensor:
        """Latents of pictures in [-1, 1], each channel about of mean 0 and variance 1 over art."""
        found: Tensor = self.encoder(x) + self.linear(x)
        return found

    def encode(self, x: Tensor) -> Latents:
        return Latents(self.normalised(x) * self.scale + self.shift)

    def decode(self, z: Tensor) -> Sample:
        """What Stable Diffusion 1 and 2 see, about in [-1, 1]; of all latents or of their first four alone."""
        assert self.decoder is not None, "a surrogate in training has no decoder yet"
        return Sample(self.decoder(z[:, : HEADS["sd15"]]))


def from_folder(folder: Path) -> Surrogate:
    """The surrogate of a folder with ``config.json`` and its weights, float32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    module = Surrogate(config["stem"], config["widths"], config["blocks"])
    module.config |= {"decoder": config["decoder"], "heard": config.get("heard", {})}
    module.decoder = view_decoder(config["decoder"])
    state = load_file(folder / "diffusion_pytorch_model.safetensors")
    module.load_state_dict({key: value.float() for key, value in state.items()})
    return module


def view_decoder(shape: dict[str, Any]) -> nn.Sequential:
    """From the four latents of Stable Diffusion 1 and 2 to pictures in about [-1, 1] at eight times their size."""
    widths, blocks = shape["widths"], shape["blocks"]
    layers: list[nn.Module] = [nn.Conv2d(HEADS["sd15"], widths[-1], 3, padding=1)]
    for i in reversed(range(len(widths))):
        layers += [Block(widths[i]) for _ in range(blocks[i])]
        if i:
            layers += [nn.Conv2d(widths[i], widths[i - 1] * 4, 3, padding=1), nn.PixelShuffle(2)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(widths[0], 12, 3, padding=1), nn.PixelShuffle(2))
