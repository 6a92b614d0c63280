"""Teach the instant cloak's network (cloaks/instant.py); resumes, logs, measures and saves.

    python training/train_instant.py ../shared/art --run runs/instant

Pictures of all artists but those that we tune on, report on, or keep for tests of learned attacks. Each is painted in
styles of the catalogue, and squares of 128 px are taken of it at three scales; Φ of the painted square is what δ has to
reach. The loss is the optimiser's own (cloaks/glaze.py), over the network instead of one δ: what is left of the way,
averaged, + α·max(LPIPS − p, 0) + γ·max(cast/q − 1, 0), α and γ growing. So it learns from the objective, where copies
of finished cloaks would teach it one of many solutions a picture, and at the cost of optimising each first.

A killed run continues from ``RUN/checkpoint.pt``; ``--finish`` measures and exports what a checkpoint holds. The
painted squares are kept in ``RUN/squares-*.pt``. Cosine learning rate, AdamW, gradients clipped at 1, bf16 autocast.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from train_autoencoder import HELD_OUT

from velatura import __version__, weights
from velatura.cloaks.budget import fit
from velatura.cloaks.cloak import Goal
from velatura.cloaks.instant import GROWTH, Network
from velatura.diffusion import extractors
from velatura.images import read, working
from velatura.perception.color_difference import cell_difference, cells, colour_cast
from velatura.perception.lpips import load as load_lpips
from velatura.perception.lpips import lpips
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval
from velatura.styles import catalogue, transfer

TESTING = ("caravaggio", "gustave-dore", "maria-letta")  # benchmarks/pairs.py
SIDE, PAINTED = 128, 512
SCALES = (128, 256, 512, 512)  # short sides of the pictures that squares are cut from
BUDGET, ALPHA, GAMMA = 0.1, 8.0, 3.0  # of the loss; δ is brought to any budget afterwards
START = 0.3  # α at first; from full strength on, penalties keep the network where only colours move
CAST = 3.0 * 512  # ΔE times the short side: noise of that LPIPS has so much (evaluation/arms.py)
OUT = Path(__file__).parents[1] / "src/velatura/data/instant/instant.safetensors"


def squares_of(root: Path, each: int, seed: int) -> dict[str, Tensor]:
    """``squares`` and ``painted`` ``(N, 3, 128, 128)`` uint8, Φ ``of`` the ones and ``wanted`` of the others."""
    eye, known = extractors.load("mini"), catalogue.load().styles
    rng = random.Random(seed)
    kept: dict[str, list[Tensor]] = {"squares": [], "painted": [], "of": [], "wanted": []}
    paths = [
        path for path in sorted(root.glob("**/*.jpg"))
        if path.parent.name not in (*HELD_OUT, *TESTING) and not path.name.startswith(HELD_OUT)
    ]  # fmt: skip
    began = time.monotonic()
    for number, path in enumerate(paths, 1):
        artwork = read(path)
        own = [s for s in known if path.parent.name.replace("-", " ") not in s.artist.lower()]
        for style in rng.sample(own, each):
            large = working(artwork, PAINTED)
            painted = transfer.paint(large, torch.tensor([style.vector]))
            for scale in SCALES:
                pair = torch.cat([large, painted])
                if scale != PAINTED:
                    size = [round(n * scale / PAINTED) for n in pair.shape[-2:]]
                    pair = torch.nn.functional.interpolate(pair, size, mode="bicubic", antialias=True).clamp(0, 1)
                top, left = (rng.randrange(n - SIDE + 1) for n in pair.shape[-2:])
                pair = pair[..., top : top + SIDE, left : left + SIDE]
                with torch.no_grad():
                    of, wanted = eye.encode(pair).half()
                square, over = (pair * 255).round().byte()
                for name, value in zip(kept, (square, over, of, wanted), strict=True):
                    kept[name].append(value)
        if number % 20 == 0:
            left_over = (time.monotonic() - began) / number * (len(paths) - number) / 60
            print(f"painted {number} of {len(paths)}, {left_over:.0f} min left", flush=True)
    return {name: torch.stack(values) for name, values in kept.items()}


def casts(pictures: Tensor, cloaked: Tensor, scales: Tensor) -> Tensor:
    """``(B,)``: colour casts of squares in pictures of these short sides, 1 being what is allowed there."""
    found = torch.zeros(len(pictures))
    for scale in scales.unique().tolist():
        own = scales == scale
        away = cell_difference(cells(pictures[own], scale), cells(cloaked[own], scale))
        found = found.masked_scatter(own, away / (CAST / scale))
    return found


def losses(
    eye: Any, perceptual: Any, pictures: Tensor, deltas: Tensor, of: Tensor, wanted: Tensor, scales: Tensor
) -> list[Tensor]:
    """``(B,)`` each: what is left of the way, LPIPS, and the colour cast."""
    cloaked = (pictures + deltas).clamp(0, 1)
    with torch.autocast("cpu", torch.bfloat16):
        seen = eye.encode(cloaked).float()
        away = perceptual.compare(perceptual.features(pictures), perceptual.features(cloaked)).float()
    left = (seen - wanted).pow(2).flatten(1).sum(1) / (of - wanted).pow(2).flatten(1).sum(1).clamp_min(1e-8)
    return [left, away, casts(pictures, cloaked, scales)]


def train(args: argparse.Namespace) -> None:
    args.run.mkdir(parents=True, exist_ok=True)
    place = args.run / f"squares-{args.each}-{args.seed}.pt"
    if not place.exists():
        torch.save(squares_of(args.art, args.each, args.seed), place.with_suffix(".tmp"))
        place.with_suffix(".tmp").rename(place)
    data = torch.load(place, weights_only=True)
    count = len(data["squares"])
    eye, perceptual = extractors.load("mini"), load_lpips("alex")
    torch.manual_seed(args.seed)
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), args.rate, weight_decay=1e-4)
    parameters = sum(p.numel() for p in network.parameters())
    checkpoint, step = args.run / "checkpoint.pt", 0
    recipe = {name: getattr(args, name) for name in ("steps", "batch", "rate", "seed")} | {"squares": count}
    if args.finish and not checkpoint.exists():
        raise SystemExit(f"{checkpoint}: expected a checkpoint to finish, found none")
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["recipe"] != recipe:
            raise SystemExit(f"{checkpoint} is of another run, {state['recipe']}: choose another --run")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    print(f"{count} squares, {parameters:,} parameters, from step {step}", flush=True)
    log, began, first = (args.run / "log.jsonl").open("a"), time.monotonic(), step

    def keep() -> None:
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        state["recipe"] = recipe
        torch.save(state, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").rename(checkpoint)

    while step < args.steps and not args.finish:
        optimizer.param_groups[0]["lr"] = args.rate * (0.5 + 0.5 * math.cos(math.pi * step / args.steps))
        draw = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        chosen = torch.randint(count, (args.batch,), generator=draw)
        pictures, targets = (data[name][chosen].float() / 255 for name in ("squares", "painted"))
        scales = torch.tensor(SCALES)[chosen % len(SCALES)]
        with torch.autocast("cpu", torch.bfloat16):
            deltas = network(pictures, targets).float()
        of, wanted = (data[name][chosen].float() for name in ("of", "wanted"))
        left, away, cast = losses(eye, perceptual, pictures, deltas, of, wanted, scales)
        over = (away - BUDGET).clamp_min(0).mean()
        alpha = START * (ALPHA / START) ** min(1.0, 1.25 * step / args.steps)
        loss = left.mean() + alpha * (over + GAMMA / ALPHA * (cast - 1).clamp_min(0).mean())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 20 == 0:
            row = {"step": step, "left": float(left.mean()), "lpips": float(away.mean()), "cast": float(cast.mean())}
            print(json.dumps({k: round(v, 4) for k, v in row.items()}), file=log, flush=True)
        if step % 100 == 0:
            keep()
            eta = (time.monotonic() - began) / (step - first) * (args.steps - step) / 60
            print(f"step {step}, ETA {eta:.0f} min: left {float(left.mean()):.3f}", flush=True)
    keep()
    export(args, network, step, count)


def export(args: argparse.Namespace, network: Network, step: int, count: int) -> None:
    """The weights in half precision, and what they do for artists of whom nothing was learned."""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, args.out)
    network.load_state_dict({name: value.half().float() for name, value in network.state_dict().items()})
    eye, known, rng = extractors.load("mini"), catalogue.load().styles, random.Random(1)
    rows = []
    for artist in TESTING:
        found: dict[str, list[float]] = {"latent_remaining": [], "lpips": [], "colour_cast": []}
        for path in sorted(args.art.glob(f"*/{artist}/*.jpg"))[:12]:
            picture = working(read(path), SIDE)[..., :SIDE, :SIDE]
            painted = transfer.paint(picture, torch.tensor([rng.choice(known).vector]))
            with torch.no_grad():
                cloaked = picture + fit(picture, network(picture, painted), BUDGET, upper=GROWTH)
                found["latent_remaining"].append(float(Goal(eye, picture, painted).remaining(cloaked)))
            found["lpips"].append(float(lpips(picture, cloaked)))
            found["colour_cast"].append(float(colour_cast(picture, cloaked)))
        for metric, values in found.items():
            value, low, high = mean_interval(values)
            rows.append(Row(metric, value, len(values), low, high, artist=artist, cloak="instant", budget=BUDGET))
    settings = {"steps": step, "batch": args.batch, "rate": args.rate, "squares": count, "budget": BUDGET}
    settings |= {"alpha": [START, ALPHA], "cast": CAST, "gamma": GAMMA}
    result = Result(
        "instant-training",
        __version__,
        args.seed,
        "cpu",
        settings,
        {"mini": eye.sha256, "instant": weights.sha256(args.out)},
        rows,
    )
    result.save(args.results)
    print([(row.artist, row.metric, round(row.value, 3)) for row in rows], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="folder of pictures, one sub-folder an artist")
    parser.add_argument("--run", type=Path, default=Path("runs/instant"), help="squares, checkpoint, log")
    parser.add_argument("--out", type=Path, default=OUT, help="where the weights go")
    parser.add_argument("--results", type=Path, default=Path("results/instant.json"))
    parser.add_argument("--each", type=int, default=2, help="styles that each picture is painted in")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--finish", action="store_true", help="train no further: measure and export the checkpoint")
    train(parser.parse_args())
