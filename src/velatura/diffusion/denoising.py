"""The loss that a diffusion model is trained with, for training, fine-tuning and the attacks through it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from velatura.errors import WeightsError


def training_scheduler(pipeline: Any) -> Any:
    """The DDPM noise schedule that ``pipeline`` was trained with, whatever sampler it ships with."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(pipeline.scheduler.config)


Latents = tuple[Tensor, Tensor]
"""Means and deviations of the model's distribution of latents, unscaled."""


def latents(vae: Any, pictures: Tensor) -> Latents:
    """Where the latents of pictures ``(B, 3, H, W)`` in [0, 1] lie."""
    distribution = vae.encode((pictures * 2 - 1).to(vae.dtype)).latent_dist
    return distribution.mean, distribution.std


def drawn(vae: Any, distribution: Latents, generator: torch.Generator | None = None) -> Tensor:
    """Scaled latents, drawn from their distribution as in training."""
    mean, deviation = distribution
    noise = torch.randn(mean.shape, generator=generator)
    return (mean + deviation * noise.to(mean)) * float(vae.config.scaling_factor)


def encode(vae: Any, pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Scaled latents of pictures ``(B, 3, H, W)`` in [0, 1], drawn from the model's distribution."""
    return drawn(vae, latents(vae, pictures), generator)


def context(pipeline: Any, captions: list[str]) -> Tensor:
    """The text encoder's states for ``captions``, ``(B, tokens, width)``; differentiable."""
    tokens = pipeline.tokenizer(
        captions,
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    states: Tensor = pipeline.text_encoder(tokens.input_ids.to(pipeline.text_encoder.device))[0]
    return states


def loss(
    unet: Any,
    scheduler: Any,
    latents: Tensor,
    states: Tensor,
    *,
    generator: torch.Generator,
    timesteps: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the model's prediction for each latent, ``(B,)``.

    Ho et al. 2020, eq. 14, for "epsilon"; Salimans & Ho 2022, appendix D, for "v_prediction". Noise and times are
    drawn on the CPU from ``generator``, so that they are the same on every device.
    """
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    if timesteps is None:
        timesteps = torch.randint(0, scheduler.config.num_train_timesteps, (len(latents),), generator=generator)
    timesteps = timesteps.to(latents.device)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    predicted: Tensor = unet(noisy, timesteps, encoder_hidden_states=states).sample
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        wanted = noise
    elif kind == "v_prediction":
        wanted = scheduler.get_velocity(latents, noise, timesteps)
    else:
        raise WeightsError(f"expected a model that predicts epsilon or v_prediction, got {kind!r}")
    return (predicted.float() - wanted.float()).pow(2).mean((1, 2, 3))
