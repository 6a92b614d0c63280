"""Captions written by a model (BLIP, Li et al., 2022), for pictures whose file names say nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from velatura.diffusion.pipeline import quiet, require_transformers
from velatura.errors import WeightsError
from velatura.images import read, working

# CLIP's, which BLIP shares. Its own image processor would ask for torchvision.
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def load(model: str, device: str = "cpu") -> Callable[[Path], str]:
    """A function from a picture's file to a caption, by a BLIP model of the hub's cache or a folder."""
    require_transformers("captioning")
    with quiet():
        from transformers import AutoTokenizer, BlipForConditionalGeneration

        try:
            blip: Any = BlipForConditionalGeneration.from_pretrained(model, local_files_only=True).to(device).eval()
            tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            why = str(error).strip().partition("\n")[0]
            raise WeightsError(
                f"{model!r}: expected a BLIP captioning model in a folder or the hub's cache: {why}"
            ) from None
    side = int(blip.config.vision_config.image_size)
    mean, deviation = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (_MEAN, _DEVIATION))

    @torch.no_grad()
    def caption(path: Path) -> str:
        picture = working(read(path), side).to(device)
        square = F.interpolate(picture, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)
        words = blip.generate(pixel_values=(square - mean) / deviation, max_new_tokens=30, do_sample=False)
        return str(tokenizer.decode(words[0], skip_special_tokens=True)).strip()

    return caption
