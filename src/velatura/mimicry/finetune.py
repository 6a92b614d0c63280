"""Fine-tune a text-to-image model on an artist's pictures, in the ways that mimics use."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from velatura import weights
from velatura.diffusion import denoising
from velatura.diffusion.pipeline import autocast, is_full_size, quiet, side
from velatura.errors import InputError, VelaturaError
from velatura.images.contract import check_pictures
from velatura.images.resample import middle
from velatura.mimicry import trainees
from velatura.mimicry.captions import with_artist
from velatura.mimicry.generate import generate
from velatura.mimicry.invert import PezSettings, State, pez
from velatura.reports.result import to_json

Method = Literal["full", "lora", "dreambooth", "textual-inversion", "pez"]
CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Settings:
    """How to fine-tune.

    ``full`` trains the U-Net on captions (as diffusers' train_text_to_image); ``lora`` low-rank additions to its
    attention (Hu et al., 2022); ``dreambooth`` U-Net and text encoder, held back by the model's own pictures of the
    class (Ruiz et al., CVPR 2023, eq. 2); ``textual-inversion`` only the vectors of a new word (Gal et al., 2023);
    ``pez`` trains nothing, it finds known words that paint the pictures (Wen et al., NeurIPS 2023; ``invert.py``).
    """

    method: Method = "full"
    steps: int = 2000
    rate: float = 5e-6
    batch: int = 4
    resolution: int = 512
    seed: int = 0
    cosine: bool = False  # decay of the rate to zero; else constant
    caption_dropout: float = 0.0  # share of captions left empty, which keeps guidance working in long runs
    subject_dropout: float = 0.0  # share that keep the artist's name only, so that the style hangs on the name
    rank: int = 16  # lora
    vectors: int = 4  # textual inversion: how many the new word has; pez: how many words
    prior_pictures: int = 100  # dreambooth: the model's own pictures of the class
    prior_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InputError(f"method: expected one of {', '.join(get_args(Method))}, got {self.method!r}")
        for name in ("steps", "batch", "resolution", "rank", "vectors"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected 1 or more, got {getattr(self, name)}")
        if not 0 < self.rate < 1:
            raise InputError(f"rate: expected a learning rate between 0 and 1, got {self.rate}")


# SD: Hönig et al. 2024 (full: 2000 steps, 5e-6, batch 4; Glaze's re-implementation has 500 of batch 8), the rest from
# the scripts of diffusers. Of the miniature's, "full" and "textual-inversion" were chosen on the tuning artists (grids
# of benchmarks/mimicry.py; of the second the largest rate was the best); "lora" and "dreambooth" are guesses.
_FULL_SIZE: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"rate": 1e-4, "steps": 1500},
    "dreambooth": {"rate": 2e-6, "steps": 1000, "batch": 2},
    "textual-inversion": {"rate": 5e-4, "steps": 3000},
}
_MINIATURE: dict[str, dict[str, Any]] = {
    "full": {"rate": 1e-3, "steps": 300, "subject_dropout": 0.4},
    "lora": {"rate": 2e-3, "steps": 400, "rank": 32},
    "dreambooth": {"rate": 1e-4, "steps": 250, "prior_pictures": 48},
    "textual-inversion": {"rate": 3e-2, "steps": 300},
}


def defaults(pipeline: Any, method: Method = "full") -> Settings:
    """The usual recipe for this base model: the literature's, or, for small models, one that laptops bear."""
    resolution = side(pipeline)
    if method not in get_args(Method):
        return Settings(method=method)  # which refuses
    if method == "pez":  # words that leave room for a subject
        words = min(16, int(pipeline.tokenizer.model_max_length) // 2)
        return Settings(method, 3000, 0.1, resolution=resolution, vectors=words)
    if is_full_size(pipeline):
        return Settings(method=method, resolution=resolution, **_FULL_SIZE[method])
    small: dict[str, Any] = {"batch": 16, "cosine": True, "caption_dropout": 0.1}
    return Settings(method=method, resolution=resolution, **{**small, **_MINIATURE[method]})


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
    mark = _fingerprint(base, pictures, captions, settings)
    if settings.method == "pez":
        card = _card(base, out, artist, captions, settings, mark)
        return _find_words(pipeline, pictures, work, out, settings, card, on_step)
    device = pipeline.unet.device
    torch.manual_seed(settings.seed)  # new adapters are drawn from torch's own generator
    trainee = trainees.make(pipeline, settings, artist)
    captions = [trainee.words(caption) for caption in captions]
    by_name = trainee.words(with_artist("", artist))
    prior = (
        _prior(pipeline, settings, work, mark)
        if settings.method == "dreambooth" and settings.prior_weight > 0
        else None
    )
    if is_full_size(pipeline):  # a third more time for a quarter of the memory
        pipeline.unet.enable_gradient_checkpointing()
    scheduler = denoising.training_scheduler(pipeline)
    encoded = _Encoded(pipeline.vae, pictures, settings.resolution)
    optimizer = torch.optim.AdamW(trainee.parameters(), settings.rate, weight_decay=trainee.decay)
    start, losses = _resume(work / "checkpoint.pt", mark, trainee, optimizer)
    saved = time.monotonic()
    for step in range(start, settings.steps):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        squares, texts = _batch(pictures, captions, by_name, settings, generator)
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
            _checkpoint(work / "checkpoint.pt", mark, trainee, optimizer, losses)
            saved = time.monotonic()
    card = _card(base, out, artist, captions, settings, mark)
    _write(work, out, trainee.save, card | {"loss": {"first": _mean(losses[:20]), "last": _mean(losses[-20:])}})
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
            _saved(state | {"mark": card["fingerprint"]}, path)
            saved = time.monotonic()

    chosen = PezSettings(settings.vectors, settings.steps, settings.rate, batch=settings.batch, seed=settings.seed)
    squares, state = [middle(x, settings.resolution) for x in pictures], _kept(path, card["fingerprint"])
    found = pez(pipeline, squares, chosen, on_step=tell, state=state, on_state=keep)
    loss = {"without_words": found.loss_of_nothing, "last": found.loss}
    _write(work, out, lambda folder: None, card | {"words": " ".join(found.prompt.split()), "loss": loss})
    return out


def _card(base: str, out: Path, artist: str, captions: Sequence[str], settings: Settings, mark: str) -> dict[str, Any]:
    folder = weights.local_path(base) if weights.lookup(base) is None else None
    place = {}
    if folder is not None and folder.is_dir():  # it must not hang on where the command was called, nor on what is above
        place = {"base": str(folder.resolve())}
        with suppress(ValueError):  # another drive
            place["base_beside"] = Path(os.path.relpath(folder.resolve(), out.resolve())).as_posix()
    return {
        "base": base,
        **place,
        "artist": artist,
        "settings": asdict(settings),
        "captions": list(captions),
        "fingerprint": mark,
        "version": version("velatura"),
    }


PRIOR_PROMPT = "a picture"


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


POSITIONS = 9  # of a square along each side of a picture
_Square = tuple[int, int, int, bool]  # picture, top, left, mirrored


def _batch(
    pictures: Sequence[Tensor], captions: Sequence[str], by_name: str, settings: Settings, generator: torch.Generator
) -> tuple[list[_Square], list[str]]:
    """Random pictures, random squares of them, mirrored half of the time, and their captions."""
    rng = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
    squares, texts = [], []
    for _ in range(settings.batch):
        i = rng.randrange(len(pictures))
        steps = (rng.randrange(POSITIONS) for _ in range(2))
        room = (side - settings.resolution for side in pictures[i].shape[-2:])
        top, left = (most * step // (POSITIONS - 1) for most, step in zip(room, steps, strict=True))
        squares.append((i, top, left, rng.random() < 0.5))
        draw = rng.random()
        kept = captions[i] if draw >= settings.caption_dropout + settings.subject_dropout else by_name
        texts.append("" if draw < settings.caption_dropout else kept)
    return squares, texts


class _Encoded:
    """Latents of squares; each is encoded when it is first drawn, alone, so that a resumed run finds the same."""

    def __init__(self, vae: Any, pictures: Sequence[Tensor], side: int) -> None:
        self.vae, self.pictures, self.side = vae, pictures, side
        self.kept: dict[_Square, denoising.Latents] = {}

    def __call__(self, squares: Sequence[_Square], generator: torch.Generator) -> Tensor:
        for square in squares:
            if square not in self.kept:
                picture, top, left, mirrored = square
                cut = self.pictures[picture][..., top : top + self.side, left : left + self.side]
                cut = cut.flip(-1) if mirrored else cut
                self.kept[square] = denoising.latents(self.vae, cut.to(self.vae.device))
        means, deviations = (torch.cat(part) for part in zip(*(self.kept[s] for s in squares), strict=True))
        return denoising.drawn(self.vae, (means, deviations), generator).float()


def _prior(pipeline: Any, settings: Settings, work: Path, mark: str) -> Tensor:
    """Latents of the model's own pictures before training, which DreamBooth holds on to; kept for a resumed run."""
    path = work / "prior.pt"
    if (kept := _kept(path, mark)) is not None:
        return cast("Tensor", kept["latents"])
    prompts = [PRIOR_PROMPT] * settings.prior_pictures
    made = [
        denoising.encode(pipeline.vae, m.picture.to(pipeline.device)).cpu()
        for m in generate(pipeline, prompts, seed=settings.seed, resolution=settings.resolution)
    ]
    latents = torch.cat(made)
    _saved({"mark": mark, "latents": latents}, path)
    return latents


def _saved(tree: Any, path: Path) -> None:
    """Never half written."""
    torch.save(tree, path.with_name(path.name + ".tmp"))
    os.replace(path.with_name(path.name + ".tmp"), path)


def _resume(path: Path, mark: str, trainee: trainees.Trainee, optimizer: Any) -> tuple[int, list[float]]:
    state = _kept(path, mark)
    if state is None:
        return 0, []
    for value, kept in zip(trainee.parameters(), state["parameters"], strict=True):
        value.data.copy_(kept)
    optimizer.load_state_dict(state["optimizer"])
    return len(state["losses"]), state["losses"]


def _kept(path: Path, mark: str) -> dict[str, Any] | None:
    """What a stopped run left, if it is of this one."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["mark"] != mark:
        raise InputError(
            f"{path.parent} is left of a run with other pictures or settings: delete it, or use another name"
        )
    return state


def _checkpoint(path: Path, mark: str, trainee: trainees.Trainee, optimizer: Any, losses: list[float]) -> None:
    state = {
        "mark": mark,
        "parameters": [p.detach().cpu() for p in trainee.parameters()],
        "optimizer": optimizer.state_dict(),
        "losses": losses,
    }
    _saved(state, path)


def _write(work: Path, out: Path, save: Callable[[Path], None], card: dict[str, Any]) -> None:
    model = work / "model"
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir()
    with quiet():
        save(model)
    (model / "mimic.json").write_text(to_json(card), encoding="utf-8")
    os.replace(model, out)
    shutil.rmtree(work)


def _fingerprint(base: str, pictures: Sequence[Tensor], captions: Sequence[str], settings: Settings) -> str:
    digest = hashlib.sha256(json.dumps([base, list(captions), asdict(settings)]).encode())
    for picture in pictures:
        digest.update(picture.numpy().tobytes())
    return digest.hexdigest()


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
