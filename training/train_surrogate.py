"""Distil the surrogate from real autoencoders: two processes of one thread, one labels, the other learns.

    python training/train_surrogate.py label ../shared/art ../shared/weights --minutes 120 &
    python training/train_surrogate.py learn ../shared/art ../shared/weights --minutes 120
    python training/train_surrogate.py view ../shared/art ../shared/weights --minutes 15
    python training/train_surrogate.py finish ../shared/art ../shared/weights

``label`` draws crops of 128 px of every picture whose artist is not held out, changes each a little, and asks the five
teachers what they see of both. The change is noise, a few steps down the teachers' own gradient, or (as soon as there
is a student) a cloak made against the student, with random targets, budgets, numbers of steps, smoothness and masks.
``learn`` trains on that growing pool and leaves the student where ``label`` finds it. Both continue where they were
stopped. The loss has three terms, by family:

- the squared error of the latents, each channel by its variance;
- the same of the *difference* that the change makes, by its own size: what a cloak lives by;
- one less the cosine between the student's and the teachers' gradient of the way to a random target.

``view`` trains the decoder of what Stable Diffusion 1 and 2 see, from the teacher's latents back to the pictures.
``finish`` measures R² on the held-out artists at 256 and 512 px and writes weights (fp16), card and results.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyvips
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from velatura import __version__
from velatura import weights as velatura_weights
from velatura.cloaks import glaze
from velatura.cloaks.budget import as_8_bit
from velatura.cloaks.cloak import Goal
from velatura.diffusion import extractors
from velatura.diffusion.surrogate import HEADS, Surrogate, from_folder, view_decoder
from velatura.images import read, working
from velatura.images.resample import middle
from velatura.perception.lpips import load as load_lpips
from velatura.perception.pixels import blurred
from velatura.perception.texture import activity
from velatura.protection.settings import EFFORTS, flip_bound
from velatura.reports.result import Result, Row
from velatura.styles import transfer
from velatura.styles.catalogue import slug

HELD_OUT = (
    "kate-greenaway", "ivan-aivazovsky", "william-wallace-denslow", "allison-horst",  # to tune on
    "vincent-van-gogh", "david-revoy", "edmund-dulac", "arthur-rackham", "ella-du-cane", "nico-jungmann",
    "utagawa-hiroshige", "henry-justice-ford", "joseph-pennell", "leonard-leslie-brooke", "william-swainson",
    "camille-bissuel",
)  # fmt: skip
TEACHERS = {"sd15": "taesd", "sdxl": "taesdxl", "sd3": "taesd3", "flux1": "taef1", "flux2": "taef2"}
CROP = 128
SHARD = 16  # crops that are labelled at once
SHORT_SIDES = (512, 384, 256)
ROOT = Path(__file__).parents[1]
VIEW = {"widths": [24, 64, 128], "blocks": [1, 1, 2]}  # of the decoder of the view


def style_vectors() -> dict[str, tuple[str, list[float]]]:
    """Artist and vector of each embedded style, by its name: as they are, though the surrogate may have changed."""
    tree = json.loads(velatura_weights.embedded("styles").read_text(encoding="utf-8"))
    return {style["name"]: (style["artist"], style["vector"]) for style in tree["styles"]}


def pictures_of(art: Path) -> tuple[list[Path], list[Path]]:
    """Paths of the manifest to train on, and of the held-out artists."""
    train, held_out = [], []
    with (art / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            (held_out if slug(row["artist"]) in HELD_OUT else train).append(art / row["path"])
    return train, held_out


def load_picture(path: Path, short_side: int | None) -> Tensor:
    """``(3, H, W)`` uint8, never enlarged."""
    image = pyvips.Image.new_from_file(str(path)).colourspace("srgb")
    image = image.flatten() if image.hasalpha() else image
    scale = min(1.0, (short_side or 10**6) / min(image.width, image.height))
    array = image.resize(max(scale, CROP / min(image.width, image.height)), kernel="lanczos3").cast("uchar").numpy()
    return torch.from_numpy(array[..., :3].copy()).permute(2, 0, 1).contiguous()


def crop_of(path: Path, rng: random.Random) -> Tensor:
    """``(3, 128, 128)`` in [0, 1], 8 bit: random scale and place; at times mirrored, recoloured, grey, JPEG, noisy."""
    picture = load_picture(path, rng.choice([*SHORT_SIDES, None]))
    top, left = (rng.randrange(n - CROP + 1) for n in picture.shape[-2:])
    crop = picture[:, top : top + CROP, left : left + CROP]
    if rng.random() < 0.5:
        crop = crop.flip(-1)
    if rng.random() < 0.15:
        crop = crop[rng.sample(range(3), 3)]
    if rng.random() < 0.1:
        crop = crop.float().mean(0, keepdim=True).round().byte().expand_as(crop)
    if rng.random() < 0.2:
        image = pyvips.Image.new_from_array(crop.permute(1, 2, 0).contiguous().numpy())
        data = image.jpegsave_buffer(Q=rng.randint(50, 95))
        crop = torch.from_numpy(pyvips.Image.jpegload_buffer(data).numpy().copy()).permute(2, 0, 1)
    found = crop.float() / 255
    if rng.random() < 0.1:
        found = found + torch.randn(found.shape) * rng.uniform(0.005, 0.04)
    return (found.clamp(0, 1) * 255).round() / 255


def teachers(folder: Path) -> list[extractors.Extractor]:
    return [extractors.load(folder / TEACHERS[head], channels_last=True) for head in HEADS]


def seen(networks: list[extractors.Extractor], pictures: Tensor) -> Tensor:
    """All teachers' latents, ``(B, 72, h, w)``."""
    return torch.cat([network.encode(pictures) for network in networks], 1)


def by_family(latents: Tensor) -> list[Tensor]:
    return list(latents.split(list(HEADS.values()), 1))


def left(latents: Tensor, clean: Tensor, goal: Tensor) -> Tensor:
    """What is left of the way from ``clean`` to ``goal``, ``(B, 5)``."""
    rows = zip(by_family(latents), by_family(clean), by_family(goal), strict=True)
    return torch.stack([(a - c).pow(2).mean((1, 2, 3)) / (b - c).pow(2).mean((1, 2, 3)).clamp_min(1e-3)
                        for a, b, c in rows], 1)  # fmt: skip


class Attack:
    """How a shard of crops is attacked: drawn once, the same for teachers and student."""

    def __init__(self, pictures: Tensor, rng: random.Random) -> None:
        self.radius = math.exp(rng.uniform(math.log(2), math.log(16))) / 255
        self.sigma = rng.choice([0, 0.6, 0.7, 0.7, 0.9, 1.4])
        self.grey = rng.random() < 0.2
        self.mask = torch.ones_like(pictures[:, :1])
        if rng.random() < 0.5:
            busy = activity(pictures) + 1
            self.mask = (busy / busy.mean((1, 2, 3), keepdim=True)).clamp(max=3)

    def shaped(self, gradient: Tensor) -> Tensor:
        """The direction of one step, of about unit size."""
        step = gradient.mean(1, keepdim=True).expand_as(gradient) if self.grey else gradient
        if self.sigma:
            step = blurred(step, self.sigma, reach=2.5)
        return -step.sign() * self.mask

    def within(self, delta: Tensor, pictures: Tensor) -> Tensor:
        bound = self.radius * self.mask
        return (pictures + delta.clamp(-bound, bound)).clamp(0, 1) - pictures


class Labeller:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.rng = args, random.Random(args.seed + int(time.time()))
        torch.manual_seed(self.rng.randrange(2**31))
        self.paths, _ = pictures_of(args.art)
        self.networks = teachers(args.weights)
        self.styles = [vector for artist, vector in style_vectors().values() if slug(artist) not in HELD_OUT]

    def targets(self, pictures: Tensor) -> Tensor:
        """Painted by the network that paints the product's targets, or the next crop."""
        if self.rng.random() < 0.5:
            return pictures.roll(1, 0)
        vectors = torch.tensor(self.rng.sample(self.styles, len(pictures)))
        with torch.no_grad():
            return torch.cat([transfer.paint(x[None], v[None]) for x, v in zip(pictures, vectors, strict=True)])

    def weights(self, count: int) -> Tensor:
        """How much each family counts, ``(count, 5)``: one alone, or all."""
        drawn = torch.distributions.Dirichlet(torch.ones(len(HEADS))).sample((count,))
        alone = torch.eye(len(HEADS))[torch.randint(len(HEADS), (count,))]
        even = torch.full((count, len(HEADS)), 1 / len(HEADS))
        pick = torch.rand(count, 1)
        return torch.where(pick < 0.3, alone, torch.where(pick < 0.6, drawn, even))

    def shard(self) -> dict[str, Tensor]:
        rng, args = self.rng, self.args
        x = torch.stack([crop_of(path, rng) for path in rng.sample(self.paths, SHARD)])
        found: dict[str, Tensor] = {}
        attack = Attack(x, rng)
        student = self.student()
        if rng.random() < args.plain:
            with torch.no_grad():
                latents = seen(self.networks, x).half()
            same = (x * 255).round().byte()
            return {"x": same, "changed": same, "latents": latents, "difference": torch.zeros_like(latents)}
        kind = rng.random()
        delta = attack.within(torch.randn_like(x) * attack.radius * rng.choice([0, 0.3]), x)
        if kind < (args.guided if student is not None else 0.65):
            goal = self.targets(x)
            with torch.no_grad():
                clean, goal = seen(self.networks, x), seen(self.networks, goal)
            w = self.weights(SHARD)
            for step in range(rng.choice([1, 1, 2])):
                gradient = self.gradient(x + delta, clean, goal, w)
                if step == 0:
                    at = x + delta
                    unit = gradient / gradient.pow(2).mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
                    found |= {"at": at.half(), "goal": goal.half(), "w": w, "gradient": unit.half()}
                delta = attack.within(delta + rng.uniform(0.5, 1) * attack.radius * attack.shaped(gradient), x)
        else:
            with torch.no_grad():
                clean = seen(self.networks, x)
            if student is None or kind < args.guided + 0.05:
                delta = attack.within(
                    attack.shaped(torch.randn_like(x)) * attack.radius * torch.rand(SHARD, 1, 1, 1), x
                )
            else:
                delta = self.cloaked(student, x, delta, attack) - x
        changed = ((x + delta).clamp(0, 1) * 255).round() / 255
        with torch.no_grad():
            difference = seen(self.networks, changed) - clean
        found |= {"x": (x * 255).round().byte(), "changed": (changed * 255).round().byte()}
        return found | {"latents": clean.half(), "difference": difference.half()}

    def gradient(self, at: Tensor, clean: Tensor, goal: Tensor, w: Tensor) -> Tensor:
        at = at.detach().requires_grad_(True)
        rows = zip(self.networks, by_family(clean), by_family(goal), w.unbind(1), strict=True)
        total = torch.zeros_like(at)
        for network, a, b, share in rows:
            size = (a - b).pow(2).mean((1, 2, 3)).clamp_min(1e-3)
            loss = (share * (network.encode(at) - b).pow(2).mean((1, 2, 3)) / size).sum()
            total += torch.autograd.grad(loss, at)[0]
        return total

    def cloaked(self, student: Surrogate, x: Tensor, delta: Tensor, attack: Attack) -> Tensor:
        """A cloak against the student: steps of signed gradient, or of Adam."""
        steps, w = self.rng.choice([3, 5, 8, 12, 15]), self.weights(len(x))
        goal = self.targets(x)
        with torch.no_grad():
            clean, goal = student.normalised(x * 2 - 1), student.normalised(goal * 2 - 1)
        adam = self.rng.random() < 0.4
        variable = delta.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([variable], lr=2 * attack.radius / steps, betas=(0.9, 0.9))
        for _ in range(steps):
            loss = (w * left(student.normalised((x + variable) * 2 - 1), clean, goal)).sum()
            (gradient,) = torch.autograd.grad(loss, variable)
            if adam:
                variable.grad = gradient
                optimizer.step()
                step = variable.detach()
                if attack.sigma:
                    step = blurred(step, attack.sigma / 2, reach=2.5)
            else:
                step = variable.detach() + 2.5 * attack.radius / steps * attack.shaped(gradient)
            if attack.grey:
                step = step.mean(1, keepdim=True).expand_as(step)
            with torch.no_grad():
                variable.copy_(attack.within(step, x))
        return (x + variable.detach()).clamp(0, 1)

    def student(self) -> Surrogate | None:
        """The latest, if it has learned enough to be worth attacking."""
        path = self.args.run / "student.pt"
        if not path.exists():
            return None
        stamp = path.stat().st_mtime_ns
        if getattr(self, "_stamp", None) != stamp:
            state = torch.load(path, weights_only=True)
            self._student = new(state["shape"])
            self._student.load_state_dict(state["model"])
            self._student.requires_grad_(False).to(memory_format=torch.channels_last)
            self._stamp = stamp
        return self._student


def label(args: argparse.Namespace) -> None:
    pool = args.run / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    labeller, began = Labeller(args), time.monotonic()
    taken = [int(path.stem.split("-")[0]) for path in pool.glob("*.pt")]
    index = max(taken, default=-1) + 1
    while time.monotonic() - began < 60 * args.minutes:
        shard = labeller.shard()
        path = pool / f"{index:06d}-{os.getpid()}.pt"
        torch.save(shard, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
        index += 1
        if index % 10 == 0:
            print(f"{index} shards, {(time.monotonic() - began) / 60:.1f} min", flush=True)


def new(shape: dict[str, Any]) -> Surrogate:
    model: Surrogate = Surrogate(**shape)
    return model


class Pool:
    """The labelled crops, in memory; new shards are taken up as they come."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng, self.names = folder, rng, set[str]()
        self.shards: list[dict[str, Tensor]] = []
        self.guided: list[dict[str, Tensor]] = []

    def refresh(self) -> None:
        for path in sorted(self.folder.glob("*.pt")):
            if path.name not in self.names:
                self.names.add(path.name)
                shard = torch.load(path, weights_only=True)
                self.shards.append(shard)
                if "gradient" in shard:
                    self.guided.append(shard)

    def draw(self, shards: list[dict[str, Tensor]], size: int, keys: tuple[str, ...]) -> list[Tensor]:
        rows = []
        for _ in range(size):
            newest = self.rng.random() < 0.3
            shard = shards[self.rng.randrange(len(shards) * 3 // 4 if newest else 0, len(shards))]
            row = self.rng.randrange(len(shard["x"]))
            rows.append([shard[key][row] for key in keys])
        return [torch.stack(column).float() for column in zip(*rows, strict=True)]


def errors(wrong: Tensor, size: Tensor) -> Tensor:
    """Mean squared error by family, each relative to ``size``, ``(5,)``."""
    rows = zip(by_family(wrong), by_family(size), strict=True)
    return torch.stack([(e.pow(2).mean((1, 2, 3)) / s.mean((1, 2, 3))).mean() for e, s in rows])


def linear_start(model: Surrogate, pool: Pool) -> None:
    """Mean and spread of each channel, and the best linear map, by ridge regression."""
    x = torch.cat([shard["x"] for shard in pool.shards]).float() / 127.5 - 1
    z = torch.cat([shard["latents"] for shard in pool.shards]).float()
    model.shift.copy_(z.mean((0, 2, 3), keepdim=True))
    model.scale.copy_(z.std((0, 2, 3), keepdim=True))
    z = (z - model.shift) / model.scale
    patches = F.unfold(x, model.linear.kernel_size, stride=8, padding=model.linear.padding)
    patches = patches.transpose(1, 2).reshape(-1, patches.shape[1])
    patches = torch.cat([patches, torch.ones(len(patches), 1)], 1)
    square = patches.T @ patches
    ridge = torch.eye(len(square)) * square.diagonal().mean() * 1e-3
    solved = torch.linalg.solve(square + ridge, patches.T @ z.permute(0, 2, 3, 1).reshape(-1, z.shape[1]))
    with torch.no_grad():
        model.linear.weight.copy_(solved[:-1].T.reshape_as(model.linear.weight))
        model.linear.bias.copy_(solved[-1])


def held_out_files(art: Path, side: int, count: int) -> list[Path]:
    """Held-out pictures with a short side of ``side`` pixels or more, the artists in turn."""
    _, paths = pictures_of(art)
    by_artist: dict[str, list[Path]] = {}
    for path in paths:
        image = pyvips.Image.new_from_file(str(path))
        if min(image.width, image.height) >= side:
            by_artist.setdefault(path.parent.name, []).append(path)
    return [group[i] for i in range(100) for group in by_artist.values() if i < len(group)][:count]


def held_out_pictures(args: argparse.Namespace, side: int, count: int) -> list[Tensor]:
    """Middle squares of held-out pictures, ``(1, 3, side, side)``, artists in turn."""
    found = []
    for path in held_out_files(args.art, side, count):
        picture = load_picture(path, side)
        top, start = ((n - side) // 2 for n in picture.shape[-2:])
        found.append(picture[None, :, top : top + side, start : start + side].float() / 255)
    return found


@torch.no_grad()
def r_squared(model: Surrogate, pictures: list[Tensor], truth: list[Tensor]) -> dict[str, float]:
    """Share of the variance of each family's latents over the pictures, mean over channels."""
    wrong = torch.cat(
        [(model.encode(x * 2 - 1).latents - z).flatten(2)[0] for x, z in zip(pictures, truth, strict=True)], 1
    )
    spread = torch.cat([z.flatten(2)[0] for z in truth], 1).var(1)
    share = 1 - wrong.pow(2).mean(1) / spread
    return {
        head: round(float(part.mean()), 4) for head, part in zip(HEADS, share.split(list(HEADS.values())), strict=True)
    }


def rate(args: argparse.Namespace, step: int, progress: float) -> float:
    return float(args.rate * min(1, (step + 1) / 200) * max(0.02, 0.5 + 0.5 * math.cos(math.pi * progress)))


class Losses:
    """The three terms, each by its own kind of step: families' errors ``(5,)``, or a number ``()``."""

    def __init__(self, model: Surrogate, pool: Pool, batch: int) -> None:
        self.model, self.pool, self.batch = model, pool, batch

    def _seen(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.model.normalised(pictures.contiguous(memory_format=torch.channels_last) / 127.5 - 1)
        return found

    def plain(self) -> Tensor:
        """Latents, of twice as many crops, either clean or changed."""
        x, changed, z, d = self.pool.draw(self.pool.shards, 2 * self.batch, ("x", "changed", "latents", "difference"))
        pick = (torch.rand(len(x)) < 0.5).float().view(-1, 1, 1, 1)
        z = (z + pick * d - self.model.shift) / self.model.scale
        return errors(self._seen(x + pick * (changed - x)) - z, torch.ones_like(z))

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Latents of pairs, and what the change makes of them."""
        x, changed, z, d = self.pool.draw(self.pool.shards, self.batch, ("x", "changed", "latents", "difference"))
        z, d = (z - self.model.shift) / self.model.scale, d / self.model.scale
        first, second = self._seen(torch.cat([x, changed])).chunk(2)
        plain = (errors(first - z, torch.ones_like(z)) + errors(second - z - d, torch.ones_like(z))) / 2
        return plain, errors(second - first - d, d.pow(2) + 1e-3)

    def turned(self) -> Tensor:
        """One less the cosine of the student's and the teachers' gradient of the way to a random target."""
        model, size = self.model, max(2, self.batch // 2)
        at, goal, clean, w, wanted = self.pool.draw(self.pool.guided, size, ("at", "goal", "latents", "w", "gradient"))
        at = at.requires_grad_(True)
        goal, clean = ((v - model.shift) / model.scale for v in (goal, clean))
        # The teachers' objective is relative to each family's whole way, in its units.
        scale = model.scale.pow(2)
        ways = (by_family((v - goal).pow(2) * scale) for v in (self._seen(at * 255), clean))
        rows = zip(*ways, w.unbind(1), strict=True)
        left = [(share * a.mean((1, 2, 3)) / b.mean((1, 2, 3)).clamp_min(1e-3)).sum() for a, b, share in rows]
        (gradient,) = torch.autograd.grad(torch.stack(left).sum(), at, create_graph=True)
        return 1 - F.cosine_similarity(gradient.flatten(1), wanted.flatten(1)).mean()


def learn(args: argparse.Namespace) -> None:
    args.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    pool = Pool(args.run / "pool", random.Random(args.seed))
    while len(pool.shards) < args.first or not pool.guided:
        pool.refresh()
        time.sleep(2)
    pictures, truth = truth_at(args, 256, 24)
    shape = json.loads(args.shape)
    model, average = new(shape), new(shape)
    checkpoint = args.run / "checkpoint.pt"
    step, spent = 0, 0.0
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), args.rate, weight_decay=1e-5, betas=(0.9, 0.98))
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["seconds"]
    else:
        if args.start is None:
            linear_start(model, pool)
        else:
            known = load_file(args.start / "diffusion_pytorch_model.safetensors")
            model.load_state_dict({k: v.float() for k, v in known.items() if not k.startswith("decoder.")})
        average.load_state_dict(model.state_dict())
        print("start", r_squared(average, pictures, truth), flush=True)
    log = (args.run / "log.jsonl").open("a")
    losses, last = Losses(model, pool, args.batch), dict[str, Tensor]()
    counts = [int(count) for count in args.mix.split(",")]
    kinds = [kind for kind, count in zip(("plain", "pairs", "turned"), counts, strict=True) for _ in range(count)]
    while True:
        began = time.monotonic()
        progress = spent / 60 / args.minutes
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(args, step, progress)
        kind = kinds[step % len(kinds)]
        if kind == "plain":
            last["plain"] = losses.plain()
            loss = last["plain"].mean()
        else:
            last["plain"], last["moved"] = losses.pairs()
            loss = last["plain"].mean() + args.moved * last["moved"].mean()
            if kind == "turned" and pool.guided:
                last["turned"] = losses.turned()
                loss = loss + args.turned * last["turned"]
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        keep = min(0.998, (step + 1) / (step + 10))
        with torch.no_grad():
            for a, b in zip(average.parameters(), model.parameters(), strict=True):
                a.lerp_(b, 1 - keep)
            for a, b in zip(average.buffers(), model.buffers(), strict=True):
                a.copy_(b)
        step, spent = step + 1, spent + min(time.monotonic() - began, 30)
        if step % 40 == 0:
            row = {"step": step, "minutes": spent / 60, "norm": float(norm)}
            row |= {name: value.detach().tolist() for name, value in last.items()}
            print(json.dumps(row), file=log, flush=True)
        if step % 25 == 0:
            pool.refresh()
        if step % 100 == 0:
            state = {"model": average.state_dict(), "shape": shape}
            torch.save(state, args.run / "student.tmp")
            (args.run / "student.tmp").rename(args.run / "student.pt")
        if step % 200 == 0:
            state = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"step": step, "seconds": spent}, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").rename(checkpoint)
            figures = r_squared(average, pictures, truth)
            shown = ", ".join(f"{head} {value:.3f}" for head, value in figures.items())
            print(f"step {step}, {spent / 60:.1f} min, {len(pool.shards)} shards: {shown}", flush=True)


def view(args: argparse.Namespace) -> None:
    """Latents of the pool's clean and changed crops to those crops: RMSE and LPIPS (AlexNet)."""
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    pool = Pool(args.run / "pool", rng)
    pool.refresh()
    decoder = view_decoder(VIEW).to(memory_format=torch.channels_last)
    path = args.run / "view.pt"
    if path.exists():
        decoder.load_state_dict(torch.load(path, weights_only=True))
    optimizer = torch.optim.AdamW(decoder.parameters(), 2e-3, weight_decay=1e-4)
    perceptual, began, step = load_lpips("alex"), time.monotonic(), 0
    channels = HEADS["sd15"]
    while (progress := (time.monotonic() - began) / 60 / args.minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * progress))
        x, changed, z, d = pool.draw(pool.shards, 4, ("x", "changed", "latents", "difference"))
        z, d = z[:, :channels], d[:, :channels]
        made = decoder(torch.cat([z, z + d]).contiguous(memory_format=torch.channels_last)) / 2 + 0.5
        wanted = torch.cat([x, changed]) / 255
        rmse = ((made - wanted).pow(2).mean((1, 2, 3)) + 1e-5).sqrt().mean()
        distance = perceptual.compare(perceptual.features(made), perceptual.features(wanted)).mean()
        loss = rmse + 0.25 * distance
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 0.5)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            torch.save(decoder.state_dict(), path)
            print(f"step {step}: rmse {float(rmse):.4f}, LPIPS {float(distance):.4f}", flush=True)
    torch.save(decoder.state_dict(), path)


def truth_at(args: argparse.Namespace, side: int, count: int) -> tuple[list[Tensor], list[Tensor]]:
    """Held-out pictures and what the teachers see of them; kept in the run's folder."""
    path = args.run / f"truth-{side}-{count}.pt"
    if not path.exists():
        pictures, networks = held_out_pictures(args, side, count), teachers(args.weights)
        with torch.no_grad():
            torch.save((pictures, [seen(networks, x) for x in pictures]), path)
    pictures, truth = torch.load(path, weights_only=True)
    return pictures, truth


def heard(args: argparse.Namespace, count: int = 6) -> dict[str, tuple[float, float]]:
    """How far cloaks made on the surrogate take tuning artists' pictures, by family: as it believes, and really."""
    eye, networks = extractors.load(args.out), teachers(args.weights)
    vector = torch.tensor([style_vectors()["pieter-bruegel-the-elder-1"][1]])
    paths = [path for path in held_out_files(args.art, 400, 200) if path.parent.name in HELD_OUT[:4]][:count]
    recipe = replace(EFFORTS["default"], budget=0.1, flip=flip_bound(0.1))
    rows = []
    for path in paths:
        x = middle(working(read(path), 512), 512)
        target = transfer.paint(x, vector)
        made = as_8_bit(x + glaze(x, target, extractors=[eye], settings=recipe).delta)
        goal = Goal(eye, x, target)
        with torch.no_grad():
            believed = 1 - goal.by_family(goal.encode(made))[0]
            latents = [seen(networks, picture) for picture in (made, x, target)]
            rows.append(torch.stack([believed, 1 - left(*latents)[0]], 1))
    return {head: (float(a), float(b)) for head, (a, b) in zip(HEADS, torch.stack(rows).mean(0), strict=True)}


def finish(args: argparse.Namespace) -> None:
    """Weights in half precision as they ship, R² of just those, and how much of what they believe is so."""
    state = torch.load(args.run / "student.pt", weights_only=True)
    model = new(state["shape"])
    model.load_state_dict(state["model"])
    model.decoder = view_decoder(VIEW)
    model.decoder.load_state_dict(torch.load(args.run / "view.pt", weights_only=True))
    args.out.mkdir(parents=True, exist_ok=True)
    weights = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, args.out / "diffusion_pytorch_model.safetensors")
    config = model.config | {"decoder": VIEW}
    (args.out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    shipped = from_folder(args.out)
    checkpoint = torch.load(args.run / "checkpoint.pt", weights_only=True)
    pool = Pool(args.run / "pool", random.Random(0))
    pool.refresh()
    with torch.no_grad():
        quality = [-10 * math.log10(float((shipped.decode(z[:, :4]).sample / 2 + 0.5 - x).pow(2).mean()))
                   for x, z in zip(*truth_at(args, 256, 24), strict=True)]  # fmt: skip
    rows = [
        Row(f"r_squared_{side}", value, count, arm=head)
        for side, count in ((256, 48), (512, 12))
        for head, value in r_squared(shipped, *truth_at(args, side, count)).items()
    ]
    trusted = heard(args)
    for head, (believed, real) in trusted.items():
        rows += [Row("progress_believed", believed, 6, arm=head), Row("progress_real", real, 6, arm=head)]
    known = {head: round(real / believed, 3) for head, (believed, real) in trusted.items()}
    (args.out / "config.json").write_text(json.dumps(config | {"heard": known}, indent=1) + "\n")
    rows.append(Row("view_psnr_db", sum(quality) / len(quality), len(quality)))
    settings = {"steps": checkpoint["step"], "minutes": round(checkpoint["seconds"] / 60, 1)}
    settings |= {"pairs": SHARD * len(pool.shards), "with_gradients": SHARD * len(pool.guided)}
    settings |= {"parameters": sum(p.numel() for p in shipped.parameters())}
    settings |= {key: getattr(args, key) for key in ("batch", "rate", "mix", "moved", "turned")}
    for row in rows:
        print(row.metric, row.arm or "", f"{row.value:.4f}")
    digests = {name: velatura_weights.sha256(args.weights / name) for name in TEACHERS.values()}
    digests["surrogate"] = velatura_weights.sha256(args.out)
    Result("surrogate", __version__, args.seed, "cpu", settings, digests, rows).save(args.results)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["label", "learn", "view", "finish"])
    parser.add_argument("art", type=Path, help="folder with MANIFEST.csv")
    parser.add_argument("weights", type=Path, help="folder with the teachers: taesd, taesdxl, taesd3, taef1, taef2")
    parser.add_argument("--run", type=Path, default=Path("runs/surrogate"), help="pool, checkpoint, log")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--start", type=Path, help="folder with weights to begin from, as src/velatura/data/surrogate")
    parser.add_argument("--guided", type=float, default=0.15, help="share of crops changed by the teachers' gradient")
    parser.add_argument("--plain", type=float, default=0.0, help="share of crops that are not changed, half the work")
    parser.add_argument("--first", type=int, default=24, help="shards to wait for before learning begins")
    parser.add_argument("--batch", type=int, default=3, help="pairs of crops")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--mix", default="5,2,1", help="steps in turn: latents alone, with differences, and gradients")
    parser.add_argument("--moved", type=float, default=0.15, help="weight of the error of differences")
    parser.add_argument("--turned", type=float, default=0.15, help="weight of the gradients' cosine")
    parser.add_argument("--shape", default="{}", help="JSON: stem, widths and blocks of the network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "src/velatura/data/surrogate")
    parser.add_argument("--results", type=Path, default=ROOT / "results/surrogate.json")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    {"label": label, "learn": learn, "view": view, "finish": finish}[given.do](given)
