"""PEZ: find the words that a model paints given pictures by (Wen et al., NeurIPS 2023), with the model's own loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.diffusion import denoising
from velatura.diffusion.pipeline import autocast
from velatura.errors import InputError
from velatura.images.contract import check_pictures

CHECKS = 4  # draws of noise and time for each picture, the same whenever prompts are compared


@dataclass(frozen=True)
class PezSettings:
    """The paper's: 16 tokens, 3000 iterations, AdamW at 0.1 with decay 0.1.

    batch: pictures an iteration. every: iterations between comparisons of the present words with the best ones.
    """

    tokens: int = 16
    steps: int = 3000
    rate: float = 0.1
    decay: float = 0.1
    batch: int = 4
    every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("tokens", "steps", "batch", "every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected 1 or more, got {getattr(self, name)}")
        if not 0 < self.rate < 100:
            raise InputError(f"rate: expected a learning rate above 0 and below 100, got {self.rate}")


@dataclass(frozen=True)
class Inversion:
    """The words, their tokens, and the diffusion loss of the pictures under them and under no words at all."""

    prompt: str
    ids: tuple[int, ...]
    loss: float
    loss_of_nothing: float


OnStep = Callable[[int, int, float], None]
"""Iterations done, of how many, and the loss of the latest."""


def pez(
    pipeline: Any, pictures: Sequence[Tensor], settings: PezSettings, *, on_step: OnStep | None = None
) -> Inversion:
    """Hard-prompt inversion of pictures ``(1, 3, H, W)`` in [0, 1] of one size, sides multiples of 8.

    The paper optimises CLIP's similarity; here it is the denoising loss of the model that will paint, over its own
    vocabulary. Soft vectors are moved by the gradient that the loss has at their nearest words (algorithm 1), and the
    best words met are returned. Words are printed as they are read; read again, they may split into other tokens.
    """
    _check(pipeline, pictures, settings)
    device = pipeline.unet.device
    table = pipeline.text_encoder.get_input_embeddings().weight.detach().float()
    words = _words(pipeline.tokenizer, len(table), device)
    # Of all tokens the nearest by angle, as in the authors' code.
    directions = F.normalize(table[words], dim=1)
    draw = torch.Generator().manual_seed(settings.seed)
    start = words[torch.randint(len(words), (settings.tokens,), generator=draw).to(device)]
    soft = table[start].clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([soft], lr=settings.rate, weight_decay=settings.decay)
    scheduler = denoising.training_scheduler(pipeline)
    with torch.no_grad():
        latents = torch.cat([denoising.encode(pipeline.vae, x.to(device), draw).float() for x in pictures])
    best = (float("inf"), start)
    for step in range(settings.steps + 1):
        ids = words[(F.normalize(soft.detach(), dim=1) @ directions.T).argmax(1)]
        if step % settings.every == 0 or step == settings.steps:
            best = min(best, (_judge(pipeline, scheduler, latents, ids, settings.seed), ids), key=lambda pair: pair[0])
        if step == settings.steps:
            break
        hard = table[ids].clone().requires_grad_(True)
        noise = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        chosen = torch.randint(len(latents), (settings.batch,), generator=noise)
        with autocast(device):
            states = _states(pipeline, ids, hard).expand(settings.batch, -1, -1)
            loss = denoising.loss(pipeline.unet, scheduler, latents[chosen.to(device)], states, generator=noise).mean()
        (soft.grad,) = torch.autograd.grad(loss, hard)
        optimizer.step()
        if on_step is not None:
            on_step(step + 1, settings.steps, float(loss.detach()))
    nothing = _judge(pipeline, scheduler, latents, words[:0], settings.seed)
    text = pipeline.tokenizer.decode(best[1].tolist()).strip()
    return Inversion(text, tuple(best[1].tolist()), best[0], nothing)


def _check(pipeline: Any, pictures: Sequence[Tensor], settings: PezSettings) -> None:
    if not pictures:
        raise InputError("expected pictures to invert, got none")
    for picture in pictures:
        check_pictures(picture)
        if picture.shape != pictures[0].shape:
            raise InputError(f"expected pictures of one size, got {tuple(pictures[0].shape)}, {tuple(picture.shape)}")
    most = int(pipeline.tokenizer.model_max_length) - 2
    if settings.tokens > most:
        raise InputError(f"tokens: expected at most {most}, which this model reads, got {settings.tokens}")


def _words(tokenizer: Any, size: int, device: torch.device) -> Tensor:
    """Tokens that a prompt may be made of: no beginnings, ends or paddings, nothing that prints as nothing."""
    special = set(tokenizer.all_special_ids)
    known = [i for i in range(min(size, len(tokenizer))) if i not in special and tokenizer.decode([i]).strip()]
    return torch.tensor(known, device=device)


def _states(pipeline: Any, ids: Tensor, vectors: Tensor) -> Tensor:
    """The text encoder's states ``(1, tokens, width)`` of a prompt whose vectors are given; differentiable in them."""
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    length, count = int(tokenizer.model_max_length), len(ids)
    row = torch.full((1, length), int(tokenizer.pad_token_id), device=ids.device)
    row[0, 0], row[0, 1 : count + 1], row[0, count + 1] = tokenizer.bos_token_id, ids, tokenizer.eos_token_id

    def put(module: Any, given: Any, embedded: Tensor) -> Tensor:
        return torch.cat([embedded[:, :1], vectors[None].to(embedded), embedded[:, count + 1 :]], 1)

    # The encoder takes tokens only: their vectors are put in where it has looked them up.
    handle = encoder.get_input_embeddings().register_forward_hook(put)
    try:
        states: Tensor = encoder(row)[0]
    finally:
        handle.remove()
    return states


@torch.no_grad()
def _judge(pipeline: Any, scheduler: Any, latents: Tensor, ids: Tensor, seed: int) -> float:
    """Mean loss of all pictures under the words, with the same noise for all words."""
    table = pipeline.text_encoder.get_input_embeddings().weight.detach().float()
    noise = torch.Generator().manual_seed(seed)
    with autocast(latents.device):
        states = _states(pipeline, ids, table[ids])
        losses = [
            denoising.loss(pipeline.unet, scheduler, x[None].expand(CHECKS, -1, -1, -1),
                           states.expand(CHECKS, -1, -1), generator=noise)
            for x in latents
        ]  # fmt: skip
    return float(torch.cat(losses).mean())
