"""Train the miniature's autoencoder on a folder of pictures; resumes, logs, measures and saves in diffusers format.

    python training/train_autoencoder.py ../shared/art --minutes 100 --run runs/autoencoder

Recipe: crops of 128 px of every picture at five scales, the root mean square error of each crop + 0.25 LPIPS (AlexNet)
+ 1e-3 mean(z²), AdamW with warm-up and cosine, gradient clipping at 0.5, bf16 autocast, noise 0.02 on the latents. The
schedule ends at ``--steps`` or ``--minutes``, whichever comes first, so that a shared machine still gets the whole
cosine. A killed run continues from ``RUN/checkpoint.pt``; ``--finish`` measures and exports what a checkpoint holds.

The weights that ship grew in several runs (see the card): ``--start`` enlarges a smaller network without changing what
it computes, ``--blend`` mixes two that came from one.

Bar (held-out artists, 256 px short side): PSNR >= 26 dB and LPIPS <= 0.15.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyvips
import torch
from torch import Tensor

from velatura.diffusion.autoencoder import MiniAutoencoder
from velatura.perception.lpips import load as load_lpips
from velatura.perception.lpips import lpips

HELD_OUT = ("vincent-van-gogh", "kate-greenaway", "ivan-aivazovsky", "david-revoy")
SHORT_SIDES = (512, 384, 256, 192, 128)
WARM_UP = 300
LEARNING_RATE = 1e-3
OUT = Path(__file__).parents[1] / "src/velatura/data/mini/vae"


def read(path: Path, short_side: int) -> Tensor | None:
    """``(3, H, W)`` uint8 with its short side at ``short_side``, or None where that would enlarge the picture."""
    image = pyvips.Image.new_from_file(str(path)).colourspace("srgb")
    image = image.flatten() if image.hasalpha() else image
    scale = short_side / min(image.width, image.height)
    if scale > 1:
        return None
    array = image.resize(scale, kernel="lanczos3").cast("uchar").numpy()
    return torch.from_numpy(array.copy()).permute(2, 0, 1).contiguous()


def pictures_of(root: Path) -> tuple[list[list[Tensor]], list[Path]]:
    """Every picture that may be trained on, at several scales; and the paths of the held-out artists' pictures."""
    train, held_out = [], []
    for path in sorted(root.glob("**/*.jpg")):
        if path.parent.name in HELD_OUT or any(path.name.startswith(name) for name in HELD_OUT):
            held_out.append(path)
            continue
        scales = [p for s in SHORT_SIDES if (p := read(path, s)) is not None]
        if scales:
            train.append(scales)
    return train, held_out


def batches(pictures: list[list[Tensor]], size: int, crop: int, rng: random.Random) -> Iterator[Tensor]:
    """Endless batches ``(size, 3, crop, crop)`` in [0, 1]: random picture, scale, place, flip, at times channels."""
    while True:
        batch = []
        for _ in range(size):
            picture = rng.choice(rng.choice(pictures))
            top, left = (rng.randrange(n - crop + 1) for n in picture.shape[-2:])
            patch = picture[:, top : top + crop, left : left + crop]
            if rng.random() < 0.5:
                patch = patch.flip(-1)
            if rng.random() < 0.15:  # the painted targets Ω(x,T) have colours that old paintings lack
                patch = patch[rng.sample(range(3), 3)]
            batch.append(patch)
        yield torch.stack(batch).float() / 255


def start_from(model: MiniAutoencoder, folder: Path) -> None:
    """Weights of a smaller network, such that the larger one starts as the same function.

    A residual block that the smaller one lacks stays the identity that it is when new; added channels are made at
    random, but nothing that was there before reads them yet (Chen et al., Net2Net, 2016).
    """
    smaller = MiniAutoencoder.from_pretrained(folder).float()
    for part in ("encoder", "decoder"):
        old = list(getattr(smaller, part))
        for layer in getattr(model, part):
            if old and type(layer) is type(old[0]):
                widen(layer, old.pop(0))
        if old:
            raise SystemExit(f"{folder} is not a smaller version of this network: {old[0]} has no place in its {part}")


@torch.no_grad()
def widen(layer: torch.nn.Module, old: torch.nn.Module) -> None:
    known = old.state_dict()
    for name, value in layer.state_dict().items():
        there = tuple(slice(n) for n in known[name].shape[:2])
        value[there[0]] = 0
        value[there] = known[name]


@torch.no_grad()
def measure(model: MiniAutoencoder, paths: list[Path]) -> tuple[dict[str, float], list[Tensor]]:
    """Mean PSNR (dB) and LPIPS of the reconstructions at 256 px short side; and the first eight pairs."""
    psnr, alex, pairs = [], [], []
    for path in paths:
        picture = read(path, 256)
        if picture is None:
            continue
        x = picture[:, : picture.shape[1] // 8 * 8, : picture.shape[2] // 8 * 8].float()[None] / 255
        y = ((model.decode(model.encode(x * 2 - 1).latent_dist.mode()).sample + 1) / 2).clamp(0, 1)
        psnr.append(float(-10 * torch.log10((x - y).pow(2).mean())))
        alex.append(float(lpips(x, y)))
        if len(pairs) < 8:
            pairs.append(torch.cat([x[0, :, :256, :256], y[0, :, :256, :256]], dim=2))
    n = len(psnr)
    return {"psnr": sum(psnr) / n, "lpips": sum(alex) / n, "pictures": n}, pairs


def save_sheet(pairs: list[Tensor], path: Path) -> None:
    rows = [torch.cat(pairs[i : i + 2], dim=2) for i in range(0, len(pairs) - 1, 2)]
    array = (torch.cat(rows, dim=1).permute(1, 2, 0) * 255).round().byte().numpy()
    pyvips.Image.new_from_array(array).write_to_file(str(path))


def latent_scale(model: MiniAutoencoder, data: Iterator[Tensor]) -> float:
    """1 / standard deviation of the latents: what a diffusion model multiplies them by."""
    with torch.no_grad():
        latents = torch.cat([model.encode(next(data) * 2 - 1).latent_dist.mode() for _ in range(16)])
    return round(1 / float(latents.std()), 4)


def train(args: argparse.Namespace) -> None:
    args.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    pictures, held_out = pictures_of(args.art)
    quick = held_out[:: max(1, len(held_out) // 24)]
    print(f"{len(pictures)} pictures to train on, {len(held_out)} held out", flush=True)
    model = MiniAutoencoder()
    if args.start is not None:
        start_from(model, args.start)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=1e-4)
    checkpoint = args.run / "checkpoint.pt"
    step, spent = 0, 0.0
    recipe = {name: str(getattr(args, name)) for name in ("seed", "start", "rate", "warm_up", "lpips", "batch")}
    if args.finish and not checkpoint.exists():
        raise SystemExit(f"{checkpoint}: expected a checkpoint to finish, found none")
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if not args.finish and state.get("recipe", recipe) != recipe:
            raise SystemExit(f"{checkpoint} is of another run, {state['recipe']}: choose another --run")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["seconds"]
        rng.seed(args.seed + step)
        print(f"resumed at step {step}, {spent / 60:.0f} minutes", flush=True)
    data = batches(pictures, args.batch, 128, rng)
    perceptual = load_lpips("alex")
    log = (args.run / "log.jsonl").open("a")

    def checkpoint_now() -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": spent}
        state["recipe"] = recipe
        torch.save(state, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").rename(checkpoint)

    while not args.finish:
        began = time.monotonic()
        progress = max(step / args.steps, spent / 60 / args.minutes)
        if progress >= 1:
            break
        rate = args.rate * min(1, (step + 1) / args.warm_up) * (0.5 + 0.5 * math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, 1e-6)
        x = next(data).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            z = model.encode(x * 2 - 1).latent_dist.mode()
            y = (model.decode(z + model.config.latent_noise * torch.randn_like(z)).sample + 1) / 2
            distance = perceptual.compare(perceptual.features(y), perceptual.features(x)).mean()
        # PSNR is a mean over pictures: the root weighs an easy crop nearly as much as a hard one
        rmse = ((y.float() - x).pow(2).mean((1, 2, 3)) + 1e-5).sqrt().mean()
        loss = 2 * rmse + args.lpips * distance + 1e-3 * z.float().pow(2).mean()  # 2: errors are meant on [-1, 1]
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        # a machine that sleeps, or a run that is stopped for a while, does not use up the schedule
        step, spent = step + 1, spent + min(time.monotonic() - began, 10)
        if step % 50 == 0:
            row = {
                "step": step,
                "minutes": spent / 60,
                "rmse": rmse.item(),
                "lpips": distance.item(),
                "norm": float(norm),
            }
            print(json.dumps({k: round(v, 4) for k, v in row.items()}), file=log, flush=True)
        if step % 500 == 0:
            checkpoint_now()
            figures, pairs = measure(model, quick)
            save_sheet(pairs, args.run / "sheet.png")
            eta = (1 / max(progress, 1e-9) - 1) * spent / 60
            print(f"step {step}, {spent / 60:.1f} min, ETA {eta:.0f} min: {figures}", flush=True)
    checkpoint_now()
    finish(args, model, held_out, batches(pictures, args.batch, 128, random.Random(1)), step, spent)


def finish(
    args: argparse.Namespace,
    model: MiniAutoencoder,
    held_out: list[Path],
    data: Iterator[Tensor],
    step: int,
    spent: float,
) -> None:
    """Measure on every held-out picture with the weights as they ship (fp16), then save them and the figures."""
    if args.blend is not None:
        other = MiniAutoencoder.from_pretrained(args.blend).float().state_dict()
        model.load_state_dict({k: torch.lerp(v, other[k], args.share) for k, v in model.state_dict().items()})
    final = MiniAutoencoder(scaling_factor=latent_scale(model, data))
    final.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    figures, pairs = measure(final, held_out)
    save_sheet(pairs, args.run / "sheet.png")
    final.half().save_pretrained(args.out)
    result = {
        "experiment": "autoencoder",
        "command": "python training/train_autoencoder.py " + " ".join(sys.argv[1:]),
        "seed": args.seed,
        "device": "cpu",
        "settings": {
            "steps": step,
            "minutes": round(spent / 60, 1),
            "batch": args.batch,
            "crop": 128,
            "lpips": args.lpips,
            "rate": args.rate,
            "start": args.start and str(args.start),
            "blend": args.blend and [str(args.blend), args.share],
        },
        "held_out": figures,
        "scaling_factor": final.config.scaling_factor,
    }
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="folder of pictures, one sub-folder an artist")
    parser.add_argument("--run", type=Path, default=Path("runs/autoencoder"), help="checkpoint, log, sheet")
    parser.add_argument("--out", type=Path, default=OUT, help="where the weights go")
    parser.add_argument("--results", type=Path, default=Path("results/autoencoder.json"))
    parser.add_argument("--start", type=Path, help="begin from these weights (a folder such as data/mini/vae)")
    parser.add_argument("--rate", type=float, default=LEARNING_RATE, help="highest learning rate of the cosine")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="steps of it")
    parser.add_argument("--lpips", type=float, default=0.25, help="weight of LPIPS in the loss")
    parser.add_argument("--steps", type=int, default=40000)
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blend", type=Path, help="mix these weights into the finished ones")
    parser.add_argument("--share", type=float, default=1 / 3, help="how much of them")
    parser.add_argument("--finish", action="store_true", help="train no further: measure and export the checkpoint")
    train(parser.parse_args())
