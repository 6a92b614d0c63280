"""TAEF2: the tiny autoencoder (Ollin Boer Bohan, MIT) distilled from FLUX.2's 32-channel autoencoder.

The raw weights come as ``encoder.safetensors`` and ``decoder.safetensors`` without a ``config.json``; their keys are
positions in one ``Sequential`` each. As a diffusers model it can also be part of a pipeline folder: of a U-Net that was
trained on its latents (``training/train_miniature.py --vae``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from safetensors.torch import load_file
from torch import Tensor, nn

WIDTH, LATENT_CHANNELS = 64, 32


def _conv(inputs: int, outputs: int, **settings: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **settings)  # type: ignore[arg-type]


class Block(nn.Module):
    """relu(conv(relu(conv(relu(conv(x))))) + x); a mid block adds a wide 1x1 side branch to x first."""

    def __init__(self, mid: bool = False) -> None:
        super().__init__()
        relu = nn.ReLU
        self.conv = nn.Sequential(_conv(WIDTH, WIDTH), relu(), _conv(WIDTH, WIDTH), relu(), _conv(WIDTH, WIDTH))
        wide = WIDTH * 4
        self.pool = (
            nn.Sequential(
                nn.Conv2d(WIDTH, wide, 1, bias=False),
                nn.GroupNorm(4, wide),
                relu(),
                nn.Conv2d(wide, WIDTH, 1, bias=False),
            )
            if mid
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return F.relu(self.conv(x) + x)


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = [_conv(3, WIDTH), Block()]
    for mid in (False, False, True):
        layers += [_conv(WIDTH, WIDTH, stride=2, bias=False), *(Block(mid) for _ in range(3))]
    return nn.Sequential(*layers, _conv(WIDTH, LATENT_CHANNELS))


def _decoder() -> nn.Sequential:
    layers: list[nn.Module] = [Clamp(), _conv(LATENT_CHANNELS, WIDTH), nn.ReLU(), *(Block(mid=True) for _ in range(3))]
    for count in (3, 3, 1):
        layers += [nn.Upsample(scale_factor=2), _conv(WIDTH, WIDTH, bias=False), *(Block() for _ in range(count))]
    return nn.Sequential(*layers, _conv(WIDTH, 3))


class Taef2Autoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Takes and gives pictures ``(B, 3, H, W)`` in [-1, 1], as diffusers has them; latents ``(B, 32, H/8, W/8)``.

    ``scaling_factor``: what brings latents to unit variance for a U-Net. The distribution has no width: the encoder
    gives a point.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        latent_channels: int = LATENT_CHANNELS,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
        block_out_channels: tuple[int, ...] = (WIDTH,) * 4,  # pipelines count these for the factor of 8
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = _encoder(), _decoder()

    def encode(self, x: Tensor) -> AutoencoderKLOutput:
        mean = self.encoder((x + 1) / 2)
        width = torch.full_like(mean, -30.0)
        return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(torch.cat([mean, width], 1)))

    def decode(self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        sample = self.decoder(z) * 2 - 1
        return DecoderOutput(sample=sample) if return_dict else (sample,)


def from_folder(folder: Path, scaling_factor: float = 1.0) -> Taef2Autoencoder:
    """The autoencoder with the raw weights of ``folder``, float32."""
    module: Taef2Autoencoder = Taef2Autoencoder(scaling_factor=scaling_factor)
    for part, name in ((module.encoder, "encoder"), (module.decoder, "decoder")):
        part.load_state_dict({k: v.float() for k, v in load_file(folder / f"{name}.safetensors").items()})
    return module
