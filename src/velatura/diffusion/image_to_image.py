"""Pictures repainted by a text-to-image model that starts from them (SDEdit, Meng et al., ICLR 2022)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.errors import InputError, VelaturaError
from velatura.images.contract import check_pictures


@torch.no_grad()
def repaint(
    pipeline: Any,
    pictures: Tensor,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    strength: float = 0.5,
    guidance: float = 7.5,
    steps: int = 30,
) -> Tensor:
    """Pictures ``(B, 3, H, W)`` in [0, 1] repainted after one prompt each by an image-to-image pipeline, same size.

    ``strength`` is the share of the noise that is added and taken away again.
    """
    check_pictures(pictures, "picture")
    if not 0 < strength <= 1 or int(steps * strength) < 1:
        raise InputError(f"strength: expected up to 1 and at least one of {steps} steps, got {strength}")
    height, width = pictures.shape[-2:]
    # Those of FLUX and SD 3 make squares of 1024 px of any picture unless they are told, and pack latents two by two.
    told = "height" in inspect.signature(pipeline.__call__).parameters
    step = pipeline.vae_scale_factor * (2 if told else 1)
    # Left alone, the pipeline would squeeze the picture to a multiple of its factor by nearest neighbour.
    edges = (0, -width % step, 0, -height % step)
    padded = F.pad(pictures.clamp(0, 1), edges, mode="reflect")  # a value below 0 would switch its normalisation off
    painted: Tensor = pipeline(
        prompt=list(prompts),
        image=padded,
        strength=strength,
        guidance_scale=guidance,
        num_inference_steps=steps,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],  # on the CPU: the same on every device
        output_type="pt",
        **({"height": padded.shape[-2], "width": padded.shape[-1]} if told else {}),
    ).images
    return check_painted(painted)[..., :height, :width].to(pictures).clamp(0, 1)


def check_painted(pictures: Tensor) -> Tensor:
    """Return what a model painted unchanged; refuse NaN, which a file would show as black."""
    if not bool(pictures.isfinite().all()):
        raise VelaturaError("the model painted no numbers (NaN): its training diverged, or it needs more than 16 bits")
    return pictures
