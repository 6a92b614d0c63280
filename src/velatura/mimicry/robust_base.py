"""A robust base: a model that has met cloaked pictures of others before it meets the victim's."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from velatura.diffusion.pipeline import autocast
from velatura.errors import InputError
from velatura.images import save
from velatura.images.contract import check_pictures
from velatura.mimicry import finetune
from velatura.mimicry.finetune import Settings, Step

OnStep = Callable[[Step], None]
Pair = tuple[Tensor, Tensor]


def train(
    pipeline: Any,
    base: str,
    pairs: Sequence[Pair],
    captions: Sequence[str],
    out: Path,
    settings: Settings,
    *,
    on_step: OnStep | None = None,
) -> Path:
    """Adapt a base model to cloaks on ``(cloaked, clean)`` pictures of other artists; write it to the folder ``out``.

    First ``settings.steps`` of the encoder (:func:`adapt`), then as many of the U-Net, on the cloaked pictures as the
    new encoder sees them, with their right captions. ``pairs`` are ``(1, 3, h, w)`` in [0, 1], their short side at
    ``settings.resolution``. The result is a base model like any other. A stopped run continues from ``out.partial``.
    """
    if out.exists():
        raise InputError(f"{out} exists already: choose another folder, or delete it")
    total = 2 * settings.steps
    kept = out.with_name(out.name + ".partial") / "encoder.safetensors"
    mark = _fingerprint(base, pairs, settings)
    encoder = _encoder(pipeline.vae)
    if kept.exists():
        with safe_open(str(kept), "pt") as file:
            if (file.metadata() or {}).get("mark") != mark:
                raise InputError(f"{kept.parent} is left of a run with other pictures or settings: delete it")
        encoder.load_state_dict(load_file(kept))
    else:
        for step in adapt(pipeline.vae, pairs, settings):
            if on_step is not None:
                on_step(Step(step.done, total, step.loss))
        kept.parent.mkdir(parents=True, exist_ok=True)
        states = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
        save(to_bytes(states, {"mark": mark}), kept)

    def report(step: Step) -> None:
        if on_step is not None:
            on_step(Step(settings.steps + step.done, total, step.loss))

    # Every picture keeps its own caption: there is no style here that prompts by the artist's name alone should find.
    made = replace(settings, method="full", subject_dropout=0.0)
    cloaked = [pair[0] for pair in pairs]
    return finetune.train(pipeline, base, cloaked, captions, "other artists", out, made, on_step=report)


def adapt(vae: Any, pairs: Sequence[Pair], settings: Settings) -> Iterator[Step]:
    """Teach the encoder to see a cloaked picture as it used to see the clean one; it is changed in place.

    min over E′ of ‖E′(x+δ) − E(x)‖² + ‖E′(x) − E(x)‖²: the first term is that of unsupervised adversarial fine-tuning
    with the old encoder as teacher (FARE; Schlarmann et al., ICML 2024), with cloaks in the place of its inner
    maximisation; the second keeps clean pictures where they are. The latent space stays, so U-Net and decoder remain
    of use. Adam at a tenth of ``settings.rate``, at 1e-5 at least.
    """
    for pair in pairs:
        for picture in pair:
            check_pictures(picture)
            if min(picture.shape[-2:]) < settings.resolution or picture.shape != pair[0].shape:
                size = tuple(picture.shape[-2:])
                raise InputError(f"expected pairs of one size, short side {settings.resolution} px, got {size}")
    if not pairs:
        raise InputError("expected pairs of a cloaked and a clean picture, got none")
    device = next(vae.parameters()).device
    teacher = copy.deepcopy(vae).requires_grad_(False)
    encoder = _encoder(vae).requires_grad_(True)
    optimizer = torch.optim.Adam(encoder.parameters(), max(1e-5, 0.1 * settings.rate))
    for step in range(settings.steps):
        draw = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        cloaked, clean = (part.to(device) for part in _batch(pairs, settings, draw))
        with autocast(device):
            with torch.no_grad():
                wanted = _mean(teacher, clean)
            terms = [(_mean(vae, x) - wanted).float().pow(2).mean() for x in (cloaked, clean)]
            loss = torch.stack(terms).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        yield Step(step + 1, settings.steps, round(float(loss.detach()), 5))
    encoder.requires_grad_(False)


def _mean(vae: Any, pictures: Tensor) -> Tensor:
    mean: Tensor = vae.encode(pictures * 2 - 1).latent_dist.mean
    return mean * float(vae.config.scaling_factor)


def _encoder(vae: Any) -> nn.ModuleDict:
    """The half of an autoencoder that looks at pictures."""
    parts = {name: getattr(vae, name, None) for name in ("encoder", "quant_conv")}
    return nn.ModuleDict({name: part for name, part in parts.items() if part is not None})


def _batch(pairs: Sequence[Pair], settings: Settings, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random squares of random pairs."""
    squares = []
    for _ in range(settings.batch):
        pair = torch.cat(pairs[int(torch.randint(len(pairs), (1,), generator=draw))])
        spare = (side - settings.resolution + 1 for side in pair.shape[-2:])
        top, left = (int(torch.randint(count, (1,), generator=draw)) for count in spare)
        squares.append(pair[..., top : top + settings.resolution, left : left + settings.resolution])
    cloaked, clean = torch.stack(squares, 1)
    return cloaked, clean


def _fingerprint(base: str, pairs: Sequence[Pair], settings: Settings) -> str:
    digest = hashlib.sha256(json.dumps([base, asdict(settings)]).encode())
    for pair in pairs:
        for picture in pair:
            digest.update(picture.numpy().tobytes())
    return digest.hexdigest()
