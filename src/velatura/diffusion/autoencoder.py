"""The miniature's autoencoder: 8x downsampling, 4 latent channels, fast on a CPU.

It has ``AutoencoderKL``'s interface (``encode(x).latent_dist``, ``decode(z).sample``, ``config.scaling_factor``), so
that a diffusers pipeline, a cloak or a fine-tuning script cannot tell it from Stable Diffusion's. Its speed is the
speed of the product: a pixel-unshuffle stem and pixel-shuffle upsampling keep everything wide away from full
resolution, and there is no normalisation to break a tile from its neighbours.
"""

from __future__ import annotations

import math

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from velatura.diffusion.blocks import ResidualBlock


def _encoder(widths: list[int], blocks: list[int], latent_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(12, widths[0], 3, padding=1)]
    for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        if i:
            layers.append(nn.Conv2d(widths[i - 1], width, 3, stride=2, padding=1))
        layers += [ResidualBlock(width) for _ in range(count)]
    return nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(widths[-1], latent_channels, 3, padding=1))


def _decoder(widths: list[int], blocks: list[int], latent_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(latent_channels, widths[-1], 3, padding=1)]
    for i in reversed(range(len(widths))):
        layers += [ResidualBlock(widths[i]) for _ in range(blocks[i])]
        if i:
            layers += [nn.Conv2d(widths[i], widths[i - 1] * 4, 3, padding=1), nn.PixelShuffle(2)]
    return nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(widths[0], 12, 3, padding=1), nn.PixelShuffle(2))


class MiniAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Autoencoder of the miniature Stable Diffusion.

    Pictures are ``(B, 3, H, W)`` in [-1, 1], as diffusers has them (``Extractor`` keeps the house's [0, 1] outside);
    H and W must be multiples of 8. ``block_out_channels`` starts with the 12 channels of the pixel-unshuffle stem: a
    pipeline takes the downsampling from its length. Latents are ``(B, 4, H/8, W/8)``, their mean bounded
    to (-3, 3) by ``3 tanh(m/3)``, with a fixed standard deviation ``latent_noise``: a learned one diverged in training.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        latent_channels: int = 4,
        block_out_channels: tuple[int, ...] = (12, 48, 96, 160),
        layers_per_block: tuple[int, ...] = (1, 1, 3),
        latent_bound: float = 3.0,
        latent_noise: float = 0.02,
        scaling_factor: float = 1.0,
        shift_factor: float | None = None,
        sample_size: int = 128,
        force_upcast: bool = False,
    ) -> None:
        super().__init__()
        widths, blocks = list(block_out_channels[1:]), list(layers_per_block)
        self.encoder = _encoder(widths, blocks, latent_channels)
        self.decoder = _decoder(widths, blocks, latent_channels)

    def encode(self, x: torch.Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[object]:
        """Latent distribution of pictures in [-1, 1]; its mode is Φ."""
        bound = self.config.latent_bound
        mean = bound * torch.tanh(self.encoder(x) / bound)
        log_variance = torch.full_like(mean, 2 * math.log(self.config.latent_noise))
        dist = DiagonalGaussianDistribution(torch.cat([mean, log_variance], dim=1))
        return AutoencoderKLOutput(latent_dist=dist) if return_dict else (dist,)

    def decode(
        self, z: torch.Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """Pictures, about in [-1, 1] and not clamped, from latents ``(B, 4, h, w)``."""
        pictures = self.decoder(z)
        return DecoderOutput(sample=pictures) if return_dict else (pictures,)

    def forward(self, sample: torch.Tensor) -> DecoderOutput:
        return self.decode(self.encode(sample).latent_dist.mode())  # type: ignore[union-attr]
