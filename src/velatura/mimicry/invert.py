"""PEZ: find the words that a model paints given pictures by (Wen et al., NeurIPS 2023), by its own loss or by CLIP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.diffusion import denoising
from velatura.diffusion.clip import Clip
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
    """The words, their tokens, and the diffusion loss of the pictures under them and under no words at all.

    ``likeness``: the cosine in CLIP's space, where that was looked for.
    """

    prompt: str
    ids: tuple[int, ...]
    loss: float
    loss_of_nothing: float
    likeness: float | None = None


OnStep = Callable[[int, int, float], None]
"""Iterations done, of how many, and the loss of the latest."""
State = dict[str, Any]
"""What a search has so far: it continues from there to the same words."""


def pez(
    pipeline: Any,
    pictures: Sequence[Tensor],
    settings: PezSettings,
    *,
    on_step: OnStep | None = None,
    state: State | None = None,
    on_state: Callable[[State], None] | None = None,
) -> Inversion:
    """Hard-prompt inversion of pictures ``(1, 3, H, W)`` in [0, 1] of one size, sides multiples of 8.

    The paper optimises CLIP's similarity (:func:`pez_by_clip`); here it is the denoising loss of the model that will
    paint, over its own vocabulary. Words are printed as they are read; read again, they may split into other tokens:
    the loss is that of what is read again. ``state``, ``on_state``: as in :func:`search`.
    """
    check(pipeline, pictures, settings)
    device = pipeline.unet.device
    table = pipeline.text_encoder.get_input_embeddings().weight.detach().float()
    scheduler = denoising.training_scheduler(pipeline)
    draw = torch.Generator().manual_seed(settings.seed + 1)
    with torch.no_grad():
        latents = torch.cat([denoising.encode(pipeline.vae, x.to(device), draw).float() for x in pictures])

    def loss(ids: Tensor, vectors: Tensor, step: int) -> Tensor:
        noise = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        chosen = torch.randint(len(latents), (settings.batch,), generator=noise)
        with autocast(device):
            states = _states(pipeline, ids, vectors).expand(settings.batch, -1, -1)
            found = denoising.loss(pipeline.unet, scheduler, latents[chosen.to(device)], states, generator=noise)
        return found.mean()

    def judge(ids: Tensor) -> float:
        return _judge(pipeline, scheduler, latents, ids, settings.seed)

    known = words(pipeline.tokenizer, len(table), device)
    ids, _ = search(table, known, settings, loss, judge, on_step, state, on_state)
    text = pipeline.tokenizer.decode(ids.tolist()).strip()
    read = _read(pipeline.tokenizer, text)
    return Inversion(text, tuple(ids.tolist()), judge(read.to(device)), judge(ids[:0]))


def search(
    table: Tensor,
    known: Tensor,
    settings: PezSettings,
    loss: Callable[[Tensor, Tensor, int], Tensor],
    judge: Callable[[Tensor], float] | None,
    on_step: OnStep | None = None,
    state: State | None = None,
    on_state: Callable[[State], None] | None = None,
) -> tuple[Tensor, float]:
    """Algorithm 1: soft vectors, moved by the gradient that the loss has at their nearest words; the best words met.

    ``table``: a vector for each token, ``(V, D)``; ``known``: the tokens that may be used. ``loss`` is of tokens, their
    vectors, and the iteration. ``judge`` is of tokens alone and decides, now and then, which are best; None: the loss
    does, always. ``on_state`` is given what the search has so far every ``settings.every`` iterations, and ``state``
    is what it was given.
    """
    # Of all tokens the nearest by angle, as in the authors' code.
    directions = F.normalize(table[known], dim=1)
    draw = torch.Generator().manual_seed(settings.seed)
    start = known[torch.randint(len(known), (settings.tokens,), generator=draw).to(known.device)]
    soft = table[start].clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([soft], lr=settings.rate, weight_decay=settings.decay)
    best, first = (float("inf"), start), 0
    if state is not None:
        soft.data.copy_(state["soft"])
        optimizer.load_state_dict(state["optimizer"])
        best, first = (state["loss"], state["best"].to(known.device)), state["step"]
    for step in range(first, settings.steps + 1):
        ids = known[(F.normalize(soft.detach(), dim=1) @ directions.T).argmax(1)]
        if judge is not None and (step % settings.every == 0 or step == settings.steps):
            best = min(best, (judge(ids), ids), key=lambda pair: pair[0])
        if step == settings.steps:
            break
        hard = table[ids].clone().requires_grad_(True)
        value = loss(ids, hard, step)
        if judge is None:
            best = min(best, (float(value.detach()), ids), key=lambda pair: pair[0])
        (soft.grad,) = torch.autograd.grad(value, hard)
        optimizer.step()
        if on_state is not None and (step + 1) % settings.every == 0:
            so_far = {"soft": soft.detach().cpu().clone(), "optimizer": optimizer.state_dict()}
            on_state(so_far | {"loss": best[0], "best": best[1].cpu(), "step": step + 1})
        if on_step is not None:
            on_step(step + 1, settings.steps, float(value.detach()))
    return best[1], best[0]


def _read(tokenizer: Any, text: str) -> Tensor:
    """The tokens of a text as a model reads them, less beginning and end."""
    tokens = tokenizer(text, add_special_tokens=False).input_ids[: int(tokenizer.model_max_length) - 2]
    return torch.tensor(tokens, dtype=torch.long)


def pez_by_clip(
    clip: Clip,
    pipeline: Any,
    pictures: Sequence[Tensor],
    settings: PezSettings,
    *,
    on_step: OnStep | None = None,
) -> Inversion:
    """PEZ as published: the words whose embedding lies nearest, by cosine, to those of all ``pictures`` together.

    The words are CLIP's; ``pipeline`` paints by them, and says what its own loss is under them, as ``pez`` does. For
    Stable Diffusion 1.x, whose text encoder is that of "openai/clip-vit-large-patch14", take this CLIP.
    """
    check(pipeline, pictures, settings)
    network, tokenizer = clip.model, clip.tokenizer
    if settings.tokens > clip.length - 2:
        raise InputError(f"tokens: expected at most {clip.length - 2}, which this CLIP reads, got {settings.tokens}")
    table = network.text_model.get_input_embeddings().weight.detach().float()
    device = table.device
    wanted = clip.pictures(pictures).to(device)

    def loss(ids: Tensor, vectors: Tensor, step: int) -> Tensor:
        with given(network.text_model, vectors):
            pooled = network.text_model(input_ids=_row(tokenizer, ids, clip.length)).pooler_output
        found = F.normalize(network.text_projection(pooled), dim=1)
        return 1 - (found @ wanted.T).mean()

    ids, best = search(table, words(tokenizer, len(table), device), settings, loss, None, on_step)
    text = str(tokenizer.decode(ids.tolist())).strip()
    # As the painter reads them, which may be as other tokens.
    read = _read(pipeline.tokenizer, text)
    scheduler, painter = denoising.training_scheduler(pipeline), pipeline.unet.device
    draw = torch.Generator().manual_seed(settings.seed + 1)
    with torch.no_grad():
        latents = torch.cat([denoising.encode(pipeline.vae, x.to(painter), draw).float() for x in pictures])
    own, nothing = (_judge(pipeline, scheduler, latents, row.to(painter), settings.seed) for row in (read, read[:0]))
    return Inversion(text, tuple(ids.tolist()), own, nothing, 1 - best)


def check(pipeline: Any, pictures: Sequence[Tensor], settings: PezSettings) -> None:
    if not pictures:
        raise InputError("expected pictures to invert, got none")
    for picture in pictures:
        check_pictures(picture)
        if picture.shape != pictures[0].shape:
            raise InputError(f"expected pictures of one size, got {tuple(pictures[0].shape)}, {tuple(picture.shape)}")
    most = int(pipeline.tokenizer.model_max_length) - 2
    if settings.tokens > most:
        raise InputError(f"tokens: expected at most {most}, which this model reads, got {settings.tokens}")


def words(tokenizer: Any, size: int, device: torch.device) -> Tensor:
    """Tokens that a prompt may be made of: no beginnings, ends or paddings, nothing that prints as nothing."""
    special = set(tokenizer.all_special_ids)
    known = [i for i in range(min(size, len(tokenizer))) if i not in special and tokenizer.decode([i]).strip()]
    return torch.tensor(known, device=device)


def _states(pipeline: Any, ids: Tensor, vectors: Tensor) -> Tensor:
    """The text encoder's states ``(1, tokens, width)`` of a prompt whose vectors are given; differentiable in them."""
    with given(pipeline.text_encoder, vectors):
        states: Tensor = pipeline.text_encoder(_row(pipeline.tokenizer, ids, int(pipeline.tokenizer.model_max_length)))[
            0
        ]
    return states


def _row(tokenizer: Any, ids: Tensor, length: int) -> Tensor:
    """The tokens between a beginning and an end, padded: ``(1, length)``."""
    row = torch.full((1, length), int(tokenizer.pad_token_id), device=ids.device)
    row[0, 0], row[0, 1 : len(ids) + 1], row[0, len(ids) + 1] = tokenizer.bos_token_id, ids, tokenizer.eos_token_id
    return row


@contextmanager
def given(encoder: Any, vectors: Tensor) -> Iterator[None]:
    """Inside, the text encoder sees these vectors at the places after the first, whatever tokens it is given there.

    It takes tokens only: their vectors are put in where it has looked them up.
    """

    def put(module: Any, tokens: Any, embedded: Tensor) -> Tensor:
        return torch.cat([embedded[:, :1], vectors[None].to(embedded), embedded[:, len(vectors) + 1 :]], 1)

    handle = encoder.get_input_embeddings().register_forward_hook(put)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def _judge(pipeline: Any, scheduler: Any, latents: Tensor, ids: Tensor, seed: int) -> float:
    """Mean loss of all pictures under the words, with the same noise for all words."""
    table = pipeline.text_encoder.get_input_embeddings().weight.detach().float()
    noise = torch.Generator().manual_seed(seed)
    with autocast(latents.device):
        states = _states(pipeline, ids, table[ids])
        states = states.expand(CHECKS, -1, -1)
        several = (x[None].expand(CHECKS, -1, -1, -1) for x in latents)
        losses = [denoising.loss(pipeline.unet, scheduler, x, states, generator=noise) for x in several]
    return float(torch.cat(losses).mean())
