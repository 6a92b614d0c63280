"""CLIP by model id: pictures and texts in one space.

Pictures are resized and normalised here in torch: transformers' own image processors want torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.diffusion.pipeline import quiet, require_transformers
from velatura.errors import ImageError, WeightsError
from velatura.images import Artwork, read, working
from velatura.images.contract import check_pictures

MODEL = "openai/clip-vit-base-patch32"
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class Clip:
    """Pictures and texts in one space, vectors of unit length; made by :func:`load`."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.side = int(model.config.vision_config.image_size)
        self.length = int(model.config.text_config.max_position_embeddings)

    @torch.no_grad()
    def pictures(self, pictures: Tensor | Sequence[Path | Artwork | Tensor]) -> Tensor:
        """``(B, D)`` on the CPU: short side to CLIP's resolution, middle square."""
        rows = []
        for picture in torch.split(pictures, 1) if isinstance(pictures, Tensor) else pictures:
            if isinstance(picture, Path):
                picture = read(picture)
            if isinstance(picture, Artwork):
                picture = working(picture, self.side)
            pixels = self._square(check_pictures(picture, "picture").to(self.model.device))
            shift, scale = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
            pooled = self.model.vision_model(pixel_values=(pixels - shift) / scale).pooler_output
            rows.append(F.normalize(self.model.visual_projection(pooled), dim=1).cpu())
        if not rows:
            raise ImageError("CLIP: expected pictures, got none")
        return torch.cat(rows)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """``(T, D)`` on the CPU; longer texts than CLIP reads are cut."""
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.length, return_tensors="pt"
        ).to(self.model.device)
        pooled = self.model.text_model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=1).cpu()

    def _square(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        side = min(height, width)
        size = (round(height * self.side / side), round(width * self.side / side))
        if size != (height, width):
            picture = F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((n - self.side) // 2 for n in size)
        return picture[..., top : top + self.side, left : left + self.side]


def load(model: str | Path = MODEL, device: str = "cpu") -> Clip:
    """CLIP of a folder or of the hub's cache, float32. Never downloads."""
    require_transformers("CLIP")
    with quiet():
        from transformers import CLIPModel, CLIPTokenizer

        try:
            network = CLIPModel.from_pretrained(str(model), local_files_only=True).eval().requires_grad_(False)
            tokenizer = CLIPTokenizer.from_pretrained(str(model), local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            advice = "check the folder" if Path(model).exists() else f"get it with `hf download {model}`"
            raise WeightsError(f"{model}: no CLIP model on this machine ({_first_line(error)}); {advice}") from error
    return Clip(network.float().to(device), tokenizer, str(model))


def weights_file(model: str | Path = MODEL) -> Path | None:
    """The file that :func:`load` reads the weights from; None where they lie in several."""
    from transformers.utils import cached_file

    for name in ("model.safetensors", "pytorch_model.bin"):
        with suppress(OSError):
            return Path(cached_file(str(model), name, local_files_only=True))
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
