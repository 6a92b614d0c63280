"""Ω(x, T): the picture x painted in the style T (Glaze, Shan et al., USENIX Security 2023, eq. 1).

Two painters of one shape, ``Ω(picture, style) -> picture``: :func:`paint` is embedded, quick and takes a style
vector; :func:`paint_with_pipeline` is the paper's, a text-to-image model that starts from the picture, and takes words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from velatura import weights
from velatura.diffusion.image_to_image import repaint
from velatura.diffusion.pipeline import quiet, require_transformers
from velatura.errors import ContractError, InputError, WeightsError
from velatura.images.contract import check_pictures
from velatura.images.resample import middle
from velatura.styles.networks import STYLE_NUMBERS, STYLE_SIDE, StylePredictor, StyleTransformer

Style = TypeVar("Style")
Painter: TypeAlias = Callable[[torch.Tensor, Style], torch.Tensor]
"""Ω. ``paint`` is a ``Painter[Tensor]``, ``partial(paint_with_pipeline, pipeline)`` a ``Painter[str]``."""

# The strokes have a fixed width in the network's pixels: below 512 they swallow faces and foliage, above 1024 they are
# too fine to be a style and only cost time. In between, the picture's own size is the sharpest.
SIDE_RANGE = (512, 1024)
READ_SIDE = 384  # short side, px, at which a picture's style is read
MOST_PIXELS = 8_000_000  # painted at once, at 0.3 GB a megapixel


@lru_cache(maxsize=4)
def predictor(device: str = "cpu") -> StylePredictor:
    """The network that reads a style, made once and reused."""
    module = StylePredictor()
    module.load_state_dict({k: v.float() for k, v in load_file(weights.embedded("style-predict")).items()})
    return module.to(device)


@lru_cache(maxsize=4)
def transformer(device: str = "cpu") -> StyleTransformer:
    """The network that paints, made once and reused."""
    module = StyleTransformer()
    module.load_state_dict({k: v.float() for k, v in load_file(weights.embedded("style-transform")).items()})
    return module.to(device)


@torch.no_grad()
def style_vector(picture: torch.Tensor) -> torch.Tensor:
    """The style of pictures ``(B, 3, H, W)`` in [0, 1] as ``(B, 100)``, read from their centre squares."""
    check_pictures(picture, "picture")
    square = middle(picture, min(picture.shape[-2:]))
    vector: torch.Tensor = predictor(str(picture.device))(_resized(square, STYLE_SIDE, STYLE_SIDE))
    return vector


@torch.no_grad()
def paint(picture: torch.Tensor, vector: torch.Tensor, *, strength: float = 1.0) -> torch.Tensor:
    """Pictures ``(B, 3, H, W)`` in [0, 1] painted in the style ``vector`` (``(1, 100)`` or ``(B, 100)``), same size.

    ``strength`` 0 paints each picture in its own style, which still loses some detail; 1 in the style asked for.
    """
    check_pictures(picture, "picture")
    if vector.ndim != 2 or vector.shape[0] not in (1, len(picture)) or vector.shape[1] != STYLE_NUMBERS:
        raise ContractError(
            f"vector: expected a tensor of shape (1 or {len(picture)}, {STYLE_NUMBERS}), got {tuple(vector.shape)}"
        )
    if not 0 <= strength <= 1:
        raise InputError(f"strength: expected 0 to 1, got {strength}")
    vector = vector.to(picture)
    if strength < 1:
        vector = torch.lerp(style_vector(picture), vector.expand(len(picture), -1), strength)
    height, width = picture.shape[-2:]
    short = min(height, width)
    scale = min(max(short, SIDE_RANGE[0]), SIDE_RANGE[1]) / short
    scale = min(scale, (MOST_PIXELS / (height * width)) ** 0.5)  # a very long picture is painted smaller
    seen = _resized(picture, round(height * scale), round(width * scale))
    return _resized(transformer(str(picture.device))(seen, vector), height, width)


def _resized(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    if picture.shape[-2:] == (height, width):
        return picture
    # Bicubic overshoots at edges, hence the clamp.
    return F.interpolate(picture, size=(height, width), mode="bicubic", antialias=True).clamp(0, 1)


def load_img2img(model: str, device: str = "cpu", offline: bool = False) -> Any:
    """The diffusers image-to-image pipeline of ``model``: a folder, or an id on the Hugging Face hub.

    16 bits on CUDA, else float32.
    """
    require_transformers("painting the target with a diffusion model")
    with quiet():
        from diffusers import AutoPipelineForImage2Image, DiffusionPipeline

        try:
            config = DiffusionPipeline.load_config(model, local_files_only=offline)
            dtype = _sixteen_bits(config.get("_class_name")) if str(device).startswith("cuda") else torch.float32
            options: dict[str, Any] = {
                "local_files_only": offline,
                "torch_dtype": dtype,
            }  # 0.42 would rather hear dtype
            # A target is only steered towards, and the checker alone weighs 1.2 GB. SDXL has none and would complain.
            if "safety_checker" in config:
                options |= {"safety_checker": None, "requires_safety_checker": False}
            pipeline = AutoPipelineForImage2Image.from_pretrained(model, **options)
        except (OSError, ValueError) as error:
            why = str(error).partition("\n")[0] or type(error).__name__
            where = "on this machine (offline)" if offline else "in a folder or on the hub"
            raise WeightsError(f"{model!r}: no image-to-image model found {where}: {why}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _sixteen_bits(pipeline: str | None) -> torch.dtype:
    """fp16 for Stable Diffusion up to XL, which everybody runs in it; in that of FLUX and SD 3 activations overflow."""
    name = str(pipeline)
    plain = name.startswith("StableDiffusion") and not name.startswith("StableDiffusion3")
    return torch.float16 if plain or not torch.cuda.is_bf16_supported() else torch.bfloat16


def paint_with_pipeline(
    pipeline: Any,
    picture: torch.Tensor,
    prompt: str,
    *,
    strength: float = 0.5,
    guidance: float = 7.5,
    steps: int = 30,
    seed: int = 0,
) -> torch.Tensor:
    """Pictures ``(B, 3, H, W)`` in [0, 1] repainted after ``prompt`` by a pipeline of :func:`load_img2img`, same size.

    ``strength`` is the share of the noise that is added and taken away again; every picture gets the noise of ``seed``.
    """
    prompts, seeds = [prompt] * len(picture), [seed] * len(picture)
    return repaint(pipeline, picture, prompts, seeds, strength=strength, guidance=guidance, steps=steps)
