"""Cloaks made on one model, seen by real autoencoders of five model families: the transfer matrix.

    python benchmarks/transfer.py ../shared/art --weights ../shared/weights --pictures 20

Pictures of held-out artists in turn (``training/train_surrogate.py``), middle squares of 512 px, all towards one target
style. Cloaks of the product's default recipe are made on the miniature, on each of the five distilled autoencoders
alone, on the five together and on the surrogate, and brought to one ꟻLIP in their 8 bit files; noise of that ꟻLIP
stands beside. ``--frontier`` instead: several visibilities of the product's cloak, the published objective, PhotoGuard
and noise, all made on the surrogate. Each file is looked at by each of the five: how far it is on its way to the target
in the latents (``progress``), and in the decoded view, by VGG16 (``decoded_shift``). Every cell is kept in ``--run``,
so that a stopped run continues; ``--summary`` only writes what is there. Intervals are over pictures (95 %, t).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from train_surrogate import TEACHERS, held_out_files

from velatura import __version__, weights
from velatura.cloaks import GlazeSettings, PhotoGuardSettings, glaze, photoguard
from velatura.cloaks.budget import Budget, as_8_bit, within
from velatura.cloaks.cloak import Goal
from velatura.diffusion import extractors
from velatura.diffusion.extractors import Extractor
from velatura.images import read, save, working
from velatura.images.kinds import in_its_colours, kind
from velatura.images.resample import middle
from velatura.perception import lpips
from velatura.perception.flip import flip
from velatura.protection import EFFORTS, Settings
from velatura.protection.panels import png
from velatura.protection.settings import flip_bound
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval
from velatura.styles import catalogue, transfer

BUDGETS = (0.05, 0.1, 0.2)  # LPIPS; ꟻLIP goes with them
UNBOUNDED = 1e3
LEAST = 400  # px, short side of pictures, which are brought to --side as the product does


class Bench:
    """The networks, loaded when they are first needed."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.style = catalogue.load().find(args.style)
        self.found: dict[str, list[Extractor]] = {}

    def models(self, name: str) -> list[Extractor]:
        if name not in self.found:
            if name == "teachers":
                self.found[name] = [self.models(family)[0] for family in TEACHERS]
            else:
                place = self.args.weights / TEACHERS[name] if name in TEACHERS else name
                self.found[name] = [extractors.load(place, channels_last=True)]
        return self.found[name]

    def delta(self, arm: str, x: Tensor, target: Tensor, found: object) -> Tensor:
        """δ of an arm: ``METHOD-on-MODEL-at-BUDGET``, within its budgets."""
        method, model, budget = arm.split(":")
        p = float(budget)
        q = flip_bound(p)  # the same for all kinds of picture
        bounds = Budget(x, UNBOUNDED, q)
        if method == "noise":
            drawn = 0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(self.args.seed))
            return within(bounds, x, drawn, upper=8)
        eyes = self.models(model)
        if method == "photoguard":
            made = photoguard(x, target, extractors=eyes, settings=PhotoGuardSettings(p, steps=20, rounds=4)).delta
        elif method == "glaze":  # the published objective, its steps in the product's number of them
            recipe = GlazeSettings(budget=p, steps=60)
            made = glaze(x, target, extractors=eyes, settings=recipe).delta
        else:
            recipe = replace(EFFORTS[self.args.effort], budget=UNBOUNDED, flip=q)
            colour = (
                (lambda pictures, change: in_its_colours(found, pictures, change))
                if found.grey or found.tones
                else None
            )
            made = glaze(x, target, extractors=eyes, settings=recipe, colour=colour).delta
        return within(bounds, x, made, upper=2)

    def seen(self, arm: str, x: Tensor, saved: Tensor, target: Tensor) -> dict[str, dict[str, float]]:
        judge = lpips.load("vgg")
        found = {}
        for family in TEACHERS:
            eye = self.models(family)[0]
            with torch.no_grad():
                goal = Goal(eye, x, target)
                latents = goal.encode(saved)
                views = [judge.features(eye.decode(z)) for z in (goal.clean, latents, goal.features)]
                before, after = (float(judge.compare(view, views[2])) for view in views[:2])
                found[family] = {"progress": 1 - float(goal.left(latents)), "decoded_shift": 1 - after / before}
        return found


def arms_of(args: argparse.Namespace) -> list[str]:
    if args.arms:
        return args.arms
    if args.frontier:
        cloaks = [f"{method}:surrogate:{p}" for method in ("velatura", "glaze", "photoguard") for p in BUDGETS]
        return [*cloaks, *(f"noise::{p}" for p in BUDGETS)]
    return [f"velatura:{m}:0.1" for m in ("surrogate", "mini", "teachers", *TEACHERS.values())] + ["noise::0.1"]


def run(args: argparse.Namespace) -> None:
    bench, arms = Bench(args), arms_of(args)
    args.run.mkdir(parents=True, exist_ok=True)
    cells = {}
    for name in ("original", *(arm.replace(":", "-") for arm in arms)):
        (args.run / "files" / name).mkdir(parents=True, exist_ok=True)
    for path in held_out_files(args.art, LEAST, args.pictures):
        artwork = read(path)
        x = as_8_bit(middle(working(artwork, args.side), args.side))
        todo = []
        for arm in arms:
            known = args.run / f"{path.stem[:40]}-{arm.replace(':', '-')}-{args.side}-{args.effort}.json"
            if known.exists():
                cells[path.stem, arm] = json.loads(known.read_text())
            else:
                todo.append((arm, known))
        if not todo or args.summary:
            continue
        vector = torch.tensor([bench.style.vector])
        target = transfer.paint(x, vector)
        found = kind(artwork)
        for arm, known in todo:
            began = sum(os.times()[:2])
            delta = bench.delta(arm, x, target, found)
            seconds = sum(os.times()[:2]) - began
            saved = as_8_bit(x + delta)
            save(png(saved), args.run / "files" / arm.replace(":", "-") / f"{path.stem}.png")
            save(png(x), args.run / "files" / "original" / f"{path.stem}.png")
            cell = {"flip": float(flip(x, saved)), "lpips": float(lpips.lpips(x, saved)), "cpu_seconds": seconds}
            cell |= {"artist": path.parent.name, "seen": bench.seen(arm, x, saved, target)}
            known.write_text(json.dumps(cell))
            cells[path.stem, arm] = cell
            shifts = [f["decoded_shift"] for f in cell["seen"].values()]
            print(f"{path.stem[:24]:24} {arm:28} ꟻLIP {cell['flip']:.3f} LPIPS {cell['lpips']:.3f} shift",
                  " ".join(f"{s:.2f}" for s in shifts), f"{seconds:.0f} s", flush=True)  # fmt: skip
    write(args, arms, cells)


def write(args: argparse.Namespace, arms: list[str], cells: dict[tuple[str, str], dict]) -> None:
    """A row for each arm, eye and metric, over the pictures that every arm has."""
    whole = [stem for stem in dict.fromkeys(stem for stem, _ in cells) if all((stem, arm) in cells for arm in arms)]
    rows = []

    def row(metric: str, values: list[float], arm: str, recipe: str | None = None) -> None:
        mean, low, high = mean_interval(values)
        method, model, budget = arm.split(":")
        cloak = f"{method} on {model}" if model else method
        rows.append(Row(metric, mean, len(values), low, high, arm="cloaked" if model else "noise", cloak=cloak,
                        budget=float(budget), recipe=recipe, seed=args.seed))  # fmt: skip

    for arm in arms:
        for metric in ("flip", "lpips", "cpu_seconds"):
            row(metric, [cells[stem, arm][metric] for stem in whole], arm)
        for metric in ("progress", "decoded_shift"):
            for family in TEACHERS:
                row(metric, [cells[stem, arm]["seen"][family][metric] for stem in whole], arm, f"seen by {family}")
            means = [sum(f[metric] for f in cells[stem, arm]["seen"].values()) / 5 for stem in whole]
            row(metric, means, arm, "seen by all")
    digests = {name: weights.sha256(args.weights / name) for name in TEACHERS.values()}
    digests |= {name: weights.sha256(weights.embedded(name)) for name in ("surrogate", "mini", "lpips-vgg")}
    settings = {"side": args.side, "effort": args.effort, "style": args.style, "pictures": whole,
                "flip": flip_bound(Settings().budget)}  # fmt: skip
    Result("transfer", __version__, args.seed, "cpu", settings, digests, rows).save(args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("--weights", type=Path, required=True, help="../shared/weights")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--style", default="pieter-bruegel-the-elder-1")
    parser.add_argument("--effort", default="default")
    parser.add_argument("--frontier", action="store_true", help="visibility against effect, on the surrogate")
    parser.add_argument("--arms", nargs="*", help="METHOD:MODEL:BUDGET, as in velatura:surrogate:0.1")
    parser.add_argument("--summary", action="store_true", help="only write what has been measured")
    parser.add_argument("--run", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/transfer.json"))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
    run(parser.parse_args())
