"""Countermeasures with a whole diffusion model: it repaints what noise has covered, as it knows pictures to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.countermeasures.autoencoding import padded
from velatura.countermeasures.noise import OWN_STREAM, add_noise
from velatura.countermeasures.settings import Settings, seed, setting
from velatura.diffusion.image_to_image import repaint
from velatura.diffusion.pipeline import quiet
from velatura.images.contract import check_pictures


@dataclass(frozen=True)
class UpscaleSettings(Settings):
    noise: float = setting(0.1, "standard deviation of the noise before, in units of the [0, 1] picture", 0, 1)
    prompt: str = setting("", "what the picture shows, in words")
    steps: int = setting(75, "denoising steps of a whole run", 1, 1000)
    guidance: float = setting(9.0, "with an upscaler: guidance scale", 0, 50)
    level: int = setting(320, "with an upscaler: the noise level that it is told", 0, 350)
    strength: float = setting(0.2, "without an upscaler: of the img2img after the noise", 0.001, 1)
    seed: int = seed()


@dataclass(frozen=True)
class DiffuseSettings(Settings):
    strength: float = setting(
        0.15, "share of the noise schedule that is added and taken away (DiffPure's t*)", 0.001, 1
    )
    steps: int = setting(100, "denoising steps of a whole run", 1, 1000)
    rounds: int = setting(1, "how often", 1, 100)
    prompt: str = setting("", "what the picture shows, in words")
    guidance: float = setting(1.0, "guidance scale; 1 is none", 0, 50)
    seed: int = seed()


@torch.no_grad()
def upscale(pictures: Tensor, *, settings: UpscaleSettings, model: Any) -> Tensor:
    """Noise, then diffusion upscaling and back to the picture's size (Hönig et al. 2024: "noisy upscaling").

    ``model``: a ``StableDiffusionUpscalePipeline``, used with the steps, guidance and noise level of the authors' code;
    with any other text-to-image model, noise, then its image-to-image at low strength, without guidance.
    """
    check_pictures(pictures)
    noisy = add_noise(pictures, settings.noise, settings.seed)
    seeds, prompts = _seeds(settings.seed, pictures), [settings.prompt] * len(pictures)
    if type(model).__name__ != "StableDiffusionUpscalePipeline":
        how: dict[str, Any] = {"strength": settings.strength, "guidance": 1.0, "steps": settings.steps}
        return repaint(image_to_image(model), noisy, prompts, seeds, **how)
    height, width = pictures.shape[-2:]
    # Left alone, the pipeline would squeeze the picture to a multiple of its factor by nearest neighbour.
    large: Tensor = model(
        prompt=prompts,
        image=padded(noisy, model.vae_scale_factor),
        noise_level=settings.level,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        generator=[torch.Generator().manual_seed(s) for s in seeds],
        output_type="pt",
    ).images
    scale = large.shape[-1] / (width + -width % model.vae_scale_factor)
    large = large[..., : round(height * scale), : round(width * scale)]
    small = F.interpolate(large.to(pictures), (height, width), mode="bicubic", antialias=True)
    return small.clamp(0, 1)


@torch.no_grad()
def diffuse(pictures: Tensor, *, settings: DiffuseSettings, model: Any) -> Tensor:
    """DiffPure (Nie et al., ICML 2022) with the mimic's own model: diffuse to time t*, then back by the reverse SDE.

    The paper's model diffuses pixels, those of mimics diffuse latents: so does this. The way back draws noise at every
    step (DDPM's ancestral sampler on the model's own schedule), unlike img2img's usual samplers.
    """
    from diffusers import DDPMScheduler

    check_pictures(pictures)
    # Its default clips to [-1, 1]: right for pixels, wrong for latents.
    sampler = DDPMScheduler.from_config(model.scheduler.config, clip_sample=False)
    painter = image_to_image(model, sampler)
    how: dict[str, Any] = {"strength": settings.strength, "guidance": settings.guidance, "steps": settings.steps}
    prompts = [settings.prompt] * len(pictures)
    for turn in range(settings.rounds):
        seeds = _seeds(settings.seed + 1000 * turn, pictures)
        pictures = repaint(painter, pictures, prompts, seeds, **how)
    return pictures


def image_to_image(pipeline: Any, scheduler: Any = None) -> Any:
    """The image-to-image pipeline of the same networks, with another sampler if one is given."""
    from diffusers import StableDiffusionImg2ImgPipeline

    parts = pipeline.components | ({"scheduler": scheduler} if scheduler is not None else {})
    with quiet():  # else it says that the miniature's autoencoder is not Stable Diffusion's
        painter = StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    painter.set_progress_bar_config(disable=True)
    return painter


def _seeds(first: int, pictures: Tensor) -> Sequence[int]:
    """Other draws than those of the noise before."""
    return [(first + i) ^ (OWN_STREAM + 1) for i in range(len(pictures))]
