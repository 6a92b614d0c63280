"""The text-to-image model as a whole, by id: the miniature, a folder, or a model of the hub's cache."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from velatura import weights
from velatura.errors import InputError, MissingExtra, WeightsError


def side(pipeline: Any, resolution: int | None = None) -> int:
    """The short side to work at, px: as asked for, which the autoencoder must be able to divide, or the model's own."""
    factor = int(pipeline.vae_scale_factor)
    if resolution is None:
        return int(pipeline.unet.config.sample_size) * factor
    if resolution % factor:
        raise InputError(f"resolution: expected a multiple of {factor}, got {resolution}")
    return resolution


def load(model: str, device: str = "cpu", dtype: torch.dtype = torch.float32, *, upscaler: bool = False) -> Any:
    """The ``StableDiffusionPipeline`` of a name of the table, a cached hub id, or a folder. Never downloads.

    Its parts are in eval mode and need no gradient; whoever trains one switches that on. ``upscaler``: a
    ``StableDiffusionUpscalePipeline`` will do as well.
    """
    require_transformers("using a text-to-image model")
    folder = weights.require_pipeline(model)
    with quiet():
        from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionUpscalePipeline

        found = DiffusionPipeline.load_config(folder, local_files_only=True).get("_class_name")
        cls: Any = StableDiffusionPipeline
        unused: dict[str, Any] = {"requires_safety_checker": False}
        if upscaler and found == "StableDiffusionUpscalePipeline":
            cls, unused = StableDiffusionUpscalePipeline, {"watermarker": None}
        elif found != "StableDiffusionPipeline":
            raise WeightsError(
                f"{model}: expected a StableDiffusionPipeline (SD 1.x, 2.x or the miniature), got {found}"
            )
        # The model_index.json of what we train names these classes of ours.
        import velatura.diffusion.autoencoder
        import velatura.diffusion.taef2  # noqa: F401

        try:
            pipeline = cls.from_pretrained(
                folder,
                torch_dtype=dtype,
                # The checker alone weighs 1.2 GB, and research pictures are looked at by whoever made them.
                safety_checker=None,
                feature_extractor=None,
                local_files_only=True,
                **unused,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise WeightsError(f"{model}: {folder} could not be loaded ({why})") from error
    for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        part.requires_grad_(False).eval()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def is_full_size(pipeline: Any) -> bool:
    """Whether the U-Net has Stable Diffusion's dimensions rather than the miniature's."""
    return bool(sum(p.numel() for p in pipeline.unet.parameters()) > 2e8)


def autocast(device: torch.device) -> torch.autocast:
    """bf16 for training and sampling where the hardware has it (about twice as fast), else a context without effect."""
    # without avx512_bf16 or AMX a CPU emulates bf16, slower than fp32
    cuda = device.type == "cuda" and torch.cuda.is_bf16_supported()
    fast = cuda or (device.type == "cpu" and _has_bf16())
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


@lru_cache(maxsize=1)
def _has_bf16() -> bool:
    with suppress(OSError):
        return any(flag in Path("/proc/cpuinfo").read_text() for flag in ("avx512_bf16", "amx_bf16"))
    return False


def require_transformers(feature: str) -> None:
    """Refuse with the pip line where the ``lab`` extra is missing."""
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtra(feature, "lab")


@contextmanager
def quiet() -> Iterator[None]:
    """No loading bars, no deprecations, no warnings that torchvision, which nothing here needs, is absent."""
    from transformers.utils import logging as transformers_log

    level, bars = transformers_log.get_verbosity(), transformers_log.is_progress_bar_enabled()
    transformers_log.set_verbosity_error()
    transformers_log.disable_progress_bar()
    from diffusers.utils import logging as diffusers_log  # only now: importing diffusers is what warns

    more_bars, more_level = diffusers_log.is_progress_bar_enabled(), diffusers_log.get_verbosity()
    diffusers_log.disable_progress_bar()
    diffusers_log.set_verbosity_error()  # it warns of each autoencoder that is not AutoencoderKL
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        transformers_log.set_verbosity(level)
        diffusers_log.set_verbosity(more_level)
        if bars:
            transformers_log.enable_progress_bar()
        if more_bars:
            diffusers_log.enable_progress_bar()
