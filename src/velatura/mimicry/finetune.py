"""Fine-tune a text-to-image model on an artist's pictures, in the ways that mimics use."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from velatura.diffusion import denoising
from velatura.diffusion.pipeline import autocast, is_full_size
from velatura.errors import InputError, VelaturaError
from velatura.images.contract import check_pictures
from velatura.images.resample import middle
from velatura.mimicry import checkpoint, trainees
from velatura.mimicry.batches import Encoded, batch
from velatura.mimicry.captions import with_artist
from velatura.mimicry.generate import generate
from velatura.mimicry.invert import PezSettings, State, pez
from velatura.mimicry.settings import Method, Settings, defaults

__all__ = ["Method", "Settings", "Step", "defaults", "train"]

CHECKPOINT_SECONDS = 120.0
PRIOR_PROMPT = "a picture"


@dataclass(frozen=True)
class Step:
    """Where a training run is: steps done and in all, and the loss of the latest."""

    done: int
    total: int
    loss: float


def train(
    pipeline: Any,
    base: str,
    pictures: Sequence[Tensor],
    captions: Sequence[str],
    artist: str,
    out: Path,
    settings: Settings,
    *,
    on_step: Callable[[Step], None] | None = None,
) -> Path:
    """Fine-tune ``pipeline`` (of :func:`velatura.diffusion.pipeline.load`) and write it to the folder ``out``.

    ``pictures`` are ``(1, 3, h, w)`` in [0, 1], their short side at ``settings.resolution``; one caption each. A run
    that is stopped leaves ``out.partial`` and continues from there, to the same result: every step draws from a
    generator of its own. ``out`` appears only when it is whole.
    """
    _check(pictures, captions, out, settings)
    work = out.with_name(out.name + ".partial")
    work.mkdir(parents=True, exist_ok=True)
    mark = checkpoint.fingerprint(base, pictures, captions, settings)
    if settings.method == "pez":
        card = checkpoint.card_of(base, out, artist, captions, settings, mark)
        return _find_words(pipeline, pictures, work, out, settings, card, on_step)
    device = pipeline.unet.device
    torch.manual_seed(settings.seed)  # new adapters are drawn from torch's own generator
    trainee = trainees.make(pipeline, settings, artist)
    captions = [trainee.words(caption) for caption in captions]
    by_name = trainee.words(with_artist("", artist))
    held_back = settings.method == "dreambooth" and settings.prior_weight > 0
    prior = _prior(pipeline, settings, work, mark) if held_back else None
    if is_full_size(pipeline):  # a third more time for a quarter of the memory
        pipeline.unet.enable_gradient_checkpointing()
    scheduler = denoising.training_scheduler(pipeline)
    encoded = Encoded(pipeline.vae, pictures, settings.resolution)
    optimizer = torch.optim.AdamW(trainee.parameters(), settings.rate, weight_decay=trainee.decay)
    start, losses = checkpoint.resume(work / "checkpoint.pt", mark, trainee, optimizer)
    saved = time.monotonic()
    for step in range(start, settings.steps):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        squares, texts = batch(pictures, captions, by_name, settings, generator)
        with torch.no_grad(), autocast(device):
            latents = encoded(squares, generator)
        with autocast(device):
            states = denoising.context(pipeline, texts)
            loss = denoising.loss(pipeline.unet, scheduler, latents, states, generator=generator).mean()
            if prior is not None:
                chosen = torch.randint(len(prior), (settings.batch,), generator=generator)
                states = denoising.context(pipeline, [PRIOR_PROMPT] * settings.batch)
                kept = denoising.loss(pipeline.unet, scheduler, prior[chosen].to(device), states, generator=generator)
                loss = loss + settings.prior_weight * kept.mean()
        value = float(loss.detach())
        if not math.isfinite(value):  # its pictures would be black, and pass for those of an artist who is protected
            where = f"step {step + 1}, loss {value}"
            raise VelaturaError(f"fine-tuning diverged at {where}: lower the rate {settings.rate:g}")
        if settings.cosine:
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * (0.5 + 0.5 * math.cos(math.pi * step / settings.steps))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        trainee.before_step()
        torch.nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
        optimizer.step()
        losses.append(round(value, 5))
        if on_step is not None:
            on_step(Step(step + 1, settings.steps, losses[-1]))
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            checkpoint.keep(work / "checkpoint.pt", mark, trainee, optimizer, losses)
            saved = time.monotonic()
    card = checkpoint.card_of(base, out, artist, captions, settings, mark)
    card["loss"] = {"first": _mean(losses[:20]), "last": _mean(losses[-20:])}
    checkpoint.write_model(work, out, trainee.save, card)
    return out


def _find_words(
    pipeline: Any,
    pictures: Sequence[Tensor],
    work: Path,
    out: Path,
    settings: Settings,
    card: dict[str, Any],
    on_step: Callable[[Step], None] | None,
) -> Path:
    """PEZ on the middle squares of the pictures; the card has the words."""
    path, saved = work / "checkpoint.pt", time.monotonic()

    def tell(done: int, total: int, loss: float) -> None:
        if on_step is not None:
            on_step(Step(done, total, loss))

    def keep(state: State) -> None:
        nonlocal saved
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            checkpoint.save(state | {"mark": card["fingerprint"]}, path)
            saved = time.monotonic()

    chosen = PezSettings(settings.vectors, settings.steps, settings.rate, batch=settings.batch, seed=settings.seed)
    squares, state = [middle(x, settings.resolution) for x in pictures], checkpoint.load(path, card["fingerprint"])
    found = pez(pipeline, squares, chosen, on_step=tell, state=state, on_state=keep)
    loss = {"without_words": found.loss_of_nothing, "last": found.loss}
    card |= {"words": " ".join(found.prompt.split()), "loss": loss}
    checkpoint.write_model(work, out, lambda folder: None, card)
    return out


def _check(pictures: Sequence[Tensor], captions: Sequence[str], out: Path, settings: Settings) -> None:
    if not pictures or len(pictures) != len(captions):
        raise InputError(f"expected pictures with one caption each, got {len(pictures)} and {len(captions)}")
    for picture in pictures:
        check_pictures(picture)
        if min(picture.shape[-2:]) < settings.resolution:
            size = tuple(picture.shape[-2:])
            raise InputError(f"expected pictures with a short side of {settings.resolution} px, got {size}")
    if out.exists():
        raise InputError(f"{out} exists already: choose another folder, or delete it")


def _prior(pipeline: Any, settings: Settings, work: Path, mark: str) -> Tensor:
    """Latents of the model's own pictures before training, which DreamBooth holds on to; kept for a resumed run."""
    path = work / "prior.pt"
    if (kept := checkpoint.load(path, mark)) is not None:
        return cast("Tensor", kept["latents"])
    prompts = [PRIOR_PROMPT] * settings.prior_pictures
    made = [
        denoising.encode(pipeline.vae, m.picture.to(pipeline.device)).cpu()
        for m in generate(pipeline, prompts, seed=settings.seed, resolution=settings.resolution)
    ]
    latents = torch.cat(made)
    checkpoint.save({"mark": mark, "latents": latents}, path)
    return latents


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
