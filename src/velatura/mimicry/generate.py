"""New pictures in a stolen style: from words, or over given pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velatura import weights
from velatura.diffusion import pipeline as models
from velatura.diffusion.image_to_image import check_painted, repaint
from velatura.errors import WeightsError
from velatura.mimicry.captions import named
from velatura.mimicry.trainees import EMBEDDINGS, LORA

# Subjects that every prompt list of an experiment is made of: common ones, and some that no old master painted.
SUBJECTS = (
    *("a portrait of a woman", "an old man with a beard", "two children", "a girl in a garden", "a dancer"),
    *("a ship at sea", "a castle on a hill", "a church", "a bridge over a river", "a street in a town", "a cottage"),
    *("a mountain", "a forest in winter", "a field under clouds", "a storm", "a bowl of fruit", "a vase of flowers"),
    *("a horse", "a dog", "a bird on a branch", "a dragon", "a train", "a robot", "an aeroplane"),
)


@dataclass(frozen=True)
class Made:
    """One generated picture: ``(1, 3, H, W)`` in [0, 1], what was asked for, and the seed that it came from."""

    index: int
    prompt: str
    seed: int
    picture: Tensor


@dataclass(frozen=True)
class Mimic:
    """A model to generate with: a base model, or one that was fine-tuned on ``artist`` (with its ``card``)."""

    pipeline: Any
    artist: str | None = None
    card: dict[str, Any] | None = None

    def words(self, prompt: str) -> str:
        """The prompt as this model knows it: a word that was learnt, or words found, stand for the artist's name."""
        method = None if self.card is None else self.card["settings"]["method"]
        at = named(prompt, str(self.artist))
        if self.card is None or method not in ("textual-inversion", "pez") or at is None:
            return prompt
        own = self.card["words"] if method == "pez" else f"<{'-'.join(str(self.artist).lower().split())}>"
        return f"{prompt[: at.start()]}{own}{prompt[at.end() :]}"


def usual_guidance(pipeline: Any) -> float:
    """7.5, as everybody uses Stable Diffusion; 1.5 for small models: chosen with the recipe (``finetune.defaults``)."""
    return 7.5 if models.is_full_size(pipeline) else 1.5


def load(model: str, device: str = "cpu") -> Mimic:
    """What :func:`velatura.mimicry.finetune.train` wrote, or a base model by name, id or folder."""
    folder = weights.local_path(model)
    if not (folder / "mimic.json").is_file():
        return Mimic(models.load(model, device))
    try:
        card = json.loads((folder / "mimic.json").read_text(encoding="utf-8"))
        method, artist = card["settings"]["method"], str(card["artist"])
        _ = card["words"] if method == "pez" else None
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder}/mimic.json: expected the card of a fine-tuned model ({error!r})") from None
    pipeline = models.load(str(folder) if method in ("full", "dreambooth") else _base(card, folder), device)
    with models.quiet():
        if method == "lora":
            pipeline.load_lora_weights(folder, weight_name=LORA)
        elif method == "textual-inversion":
            pipeline.load_textual_inversion(folder, weight_name=EMBEDDINGS, token=None)
    return Mimic(pipeline, artist, card)


def _base(card: dict[str, Any], folder: Path) -> str:
    """The base model of a mimic that does not hold it; found from the mimic's folder where both were moved."""
    base = str(card["base"])
    if weights.locate_pipeline(base) is None:
        beside = (folder / str(card[key]) for key in ("base_beside", "base") if key in card)
        return next((str(place) for place in beside if (place / "model_index.json").is_file()), base)
    return base


@torch.no_grad()
def generate(
    pipeline: Any,
    prompts: Sequence[str],
    *,
    seed: int = 0,
    steps: int = 30,
    guidance: float | None = None,
    resolution: int | None = None,
    batch: int = 16,
    start: int = 0,
) -> Iterator[Made]:
    """One picture for each prompt, in order; number i has the seed ``seed + i``, whatever the batch.

    ``start`` leaves out the first ones. ``guidance``: left out, :func:`usual_guidance`. ``resolution`` is the side in
    pixels; left out, what the model was made for.
    """
    guidance = usual_guidance(pipeline) if guidance is None else guidance
    for first in range(start, len(prompts), batch):
        part = list(prompts[first : first + batch])
        seeds = [seed + first + i for i in range(len(part))]
        with models.autocast(pipeline.device):
            pictures = pipeline(
                prompt=part,
                height=resolution,
                width=resolution,
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=[torch.Generator().manual_seed(s) for s in seeds],  # on the CPU: the same on every device
                output_type="pt",
            ).images
        check_painted(pictures)
        for i, prompt in enumerate(part):
            yield Made(first + i, prompt, seeds[i], pictures[i : i + 1].float().cpu().clamp(0, 1))


@torch.no_grad()
def restyle(
    pipeline: Any,
    pictures: Sequence[Tensor],
    prompts: Sequence[str],
    *,
    seed: int = 0,
    steps: int = 30,
    guidance: float | None = None,
    strength: float = 0.5,
    start: int = 0,
) -> Iterator[Made]:
    """Pictures ``(1, 3, H, W)`` in [0, 1] repainted after one prompt each: mimicry by image to image."""
    from diffusers import StableDiffusionImg2ImgPipeline

    with models.quiet():
        painter = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    painter.set_progress_bar_config(disable=True)
    guidance = usual_guidance(pipeline) if guidance is None else guidance
    how: dict[str, Any] = {"strength": strength, "guidance": guidance, "steps": steps}
    for i in range(start, len(pictures)):
        with models.autocast(pipeline.device):
            here = pictures[i].to(pipeline.device)
            picture = repaint(painter, here, [prompts[i]], [seed + i], **how)
        yield Made(i, prompts[i], seed + i, picture.float().cpu())
