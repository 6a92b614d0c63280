"""How a purifier learns: random squares of pairs, absolute error and LPIPS; resumable, repeatable by seed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velatura.countermeasures.purifier import LearnedSettings, Network, Purifier, learned
from velatura.countermeasures.settings import Settings, seed, setting
from velatura.errors import InputError, VelaturaError
from velatura.images import save
from velatura.images.contract import check_pictures
from velatura.perception.lpips import load as load_lpips
from velatura.perception.pixels import psnr

Pair = tuple[Tensor, Tensor]
CHECKPOINT_SECONDS = 60.0
EVERY = 8  # one pair of so many is held out, to say how good the purifier is


@dataclass(frozen=True)
class TrainingSettings(Settings):
    steps: int = setting(2000, "of Adam", 1, 10_000_000)
    batch: int = setting(8, "squares a step", 1, 4096)
    rate: float = setting(1e-3, "learning rate at the start; falls to zero as a cosine", 1e-7, 1)
    crop: int = setting(96, "side of the squares in pixels, a multiple of 8", 32, 4096)
    perceptual: float = setting(0.1, "weight of LPIPS (AlexNet) beside the absolute error", 0, 100)
    side: int = setting(512, "short side of the pictures in pixels", 32, 8192)
    seed: int = seed()


@dataclass(frozen=True)
class Step:
    """Steps done and in all, and the loss of the latest."""

    done: int
    total: int
    loss: float


def train(
    pairs: Sequence[Pair],
    out: Path,
    settings: TrainingSettings,
    *,
    device: str = "cpu",
    on_step: Callable[[Step], None] | None = None,
) -> Purifier:
    """Train on ``(cloaked, clean)`` pictures ``(1, 3, h, w)`` in [0, 1] of one size a pair; write the file ``out``.

    A stopped run leaves ``out.partial`` and continues from there, to the same result.
    """
    learning, held_out = _split(pairs, settings)
    if out.exists():
        raise InputError(f"{out} exists already: choose another name, or delete it")
    torch.manual_seed(settings.seed)
    network = Network().to(device)
    optimizer = torch.optim.Adam(network.parameters(), settings.rate)
    perceptual = load_lpips("alex", device)
    partial, mark = out.with_name(out.name + ".partial"), _fingerprint(pairs, settings)
    losses = _resume(partial, mark, network, optimizer)
    saved = time.monotonic()
    for step in range(len(losses), settings.steps):
        optimizer.param_groups[0]["lr"] = settings.rate * (0.5 + 0.5 * math.cos(math.pi * step / settings.steps))
        cloaked, clean = (x.to(device) for x in _batch(learning, settings, step))
        purified = cloaked + network(cloaked)
        loss = (purified - clean).abs().mean()
        if settings.perceptual:
            away = perceptual.compare(perceptual.features(clean), perceptual.features(purified)).mean()
            loss = loss + settings.perceptual * away
        value = float(loss.detach())
        if not math.isfinite(value):
            where = f"step {step + 1}, loss {value}"
            raise VelaturaError(f"the training diverged at {where}: lower the rate {settings.rate:g}")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(round(value, 6))
        if on_step is not None:
            on_step(Step(step + 1, settings.steps, losses[-1]))
        if time.monotonic() - saved > CHECKPOINT_SECONDS and step + 1 < settings.steps:
            _checkpoint(partial, mark, network, optimizer, losses)
            saved = time.monotonic()
    network.cpu().requires_grad_(False).eval()
    facts: dict[str, Any] = {
        "version": version("velatura"),
        "settings": asdict(settings),
        "pairs": len(pairs),
        "pairs_sha256": mark,
    }
    purifier = Purifier(network, settings.side, facts)
    purifier.facts.update(_scores(purifier, held_out))
    save(purifier.save(), out)
    partial.unlink(missing_ok=True)
    return purifier


def _split(pairs: Sequence[Pair], settings: TrainingSettings) -> tuple[list[Pair], list[Pair]]:
    if len(pairs) < 2:
        raise InputError(f"expected two pairs or more of a cloaked and a clean picture, got {len(pairs)}")
    if settings.crop % 8:
        raise InputError(f"crop: expected a multiple of 8, got {settings.crop}")
    for cloaked, clean in pairs:
        check_pictures(cloaked, "cloaked")
        check_pictures(clean, "clean")
        if cloaked.shape != clean.shape:
            raise InputError(f"expected pairs of one size, got {tuple(cloaked.shape)} and {tuple(clean.shape)}")
        if min(clean.shape[-2:]) < settings.crop:
            raise InputError(
                f"crop: expected at most the pictures' short side, got {settings.crop} of {tuple(clean.shape)}"
            )
    held_out = [pair for i, pair in enumerate(pairs) if i % EVERY == EVERY - 1] or [pairs[-1]]
    return [pair for pair in pairs if not any(pair is other for other in held_out)], held_out


def _batch(pairs: Sequence[Pair], settings: TrainingSettings, step: int) -> Pair:
    """Random squares, flipped and turned in eight ways; a generator of its own for each step."""
    draw = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    squares: list[Tensor] = []
    for _ in range(settings.batch):
        pair = torch.cat(pairs[_below(len(pairs), draw)])
        top, left = (_below(side - settings.crop + 1, draw) for side in pair.shape[-2:])
        square = pair[..., top : top + settings.crop, left : left + settings.crop]
        square = square.flip(-1) if _below(2, draw) else square
        squares.append(torch.rot90(square, _below(4, draw), (-2, -1)))
    cloaked, clean = torch.stack(squares, 1)
    return cloaked, clean


def _below(count: int, draw: torch.Generator) -> int:
    return int(torch.randint(count, (1,), generator=draw))


def _scores(purifier: Purifier, held_out: Sequence[Pair]) -> dict[str, float]:
    """PSNR (dB) of held-out pictures to their clean originals, as they came and purified."""
    before = torch.cat([psnr(cloaked, clean) for cloaked, clean in held_out])
    after = torch.cat([psnr(learned(a, settings=LearnedSettings(), model=purifier), b) for a, b in held_out])
    return {"held_out": len(held_out), "psnr_before": float(before.mean()), "psnr_after": float(after.mean())}


def _resume(path: Path, mark: str, network: Network, optimizer: Any) -> list[float]:
    if not path.exists():
        return []
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["mark"] != mark:
        raise InputError(f"{path} is left of a run with other pictures or settings: delete it, or use another name")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    losses: list[float] = state["losses"]
    return losses


def _checkpoint(path: Path, mark: str, network: Network, optimizer: Any, losses: list[float]) -> None:
    state = {"mark": mark, "network": network.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
    torch.save(state, path.with_name(path.name + ".tmp"))
    os.replace(path.with_name(path.name + ".tmp"), path)


def _fingerprint(pairs: Sequence[Pair], settings: TrainingSettings) -> str:
    digest = hashlib.sha256(json.dumps(asdict(settings)).encode())
    for pair in pairs:
        for picture in pair:
            digest.update(picture.numpy().tobytes())
    return digest.hexdigest()
