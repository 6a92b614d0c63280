"""Choose the optimiser's settings for the product's cloak, on the tuning artists only.

    python benchmarks/tune_cloak.py ../shared/art --weights ../shared/weights -o results/tuning.json

Middle squares of 256 px by the four tuning artists, towards one target style, all within the default's two bounds in
the 8 bit picture. ``progress_surrogate`` is what the surrogate sees of it, ``progress`` and ``decoded_shift`` what the
five real autoencoders do (their mean). ColorVideoVDP has no part in this.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from train_surrogate import HELD_OUT, TEACHERS, held_out_files

from velatura import __version__, weights
from velatura.cloaks import glaze
from velatura.cloaks.budget import Budget, as_8_bit, within
from velatura.cloaks.cloak import Goal
from velatura.diffusion import extractors
from velatura.images import read, working
from velatura.images.resample import middle
from velatura.perception import lpips
from velatura.protection import EFFORTS
from velatura.protection.settings import flip_bound
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval
from velatura.styles import catalogue, transfer

SIDE, LPIPS = 256, 0.1
DEFAULT = EFFORTS["default"]
GRID = {
    "default": {},
    **{f"{n} steps": {"steps": n} for n in (6, 8, 10, 24)},
    **{f"detail {share:g}": {"detail": share} for share in (0.0, 1.0)},
    "LPIPS not asked": {"alpha": 0.0},
    "LPIPS asked from half-way": {"alpha_from": 0.5},
    "not smooth": {"smooth": False},
    "mask 0": {"mask": 0.0},
    **{f"learning rate {rate:g}": {"learning_rate": rate} for rate in (0.01, 0.04)},
}


def run(args: argparse.Namespace) -> None:
    surrogate = extractors.load("surrogate")
    real = [extractors.load(args.weights / name, channels_last=True) for name in TEACHERS.values()]
    vector = torch.tensor([catalogue.load().find(args.style).vector])
    paths = [path for path in held_out_files(args.art, SIDE, 400) if path.parent.name in HELD_OUT[:4]][: args.pictures]
    pictures = [middle(working(read(path), SIDE), SIDE) for path in paths]
    pairs = [(x, transfer.paint(x, vector)) for x in pictures]
    goals = [[Goal(eye, x, t) for eye in (surrogate, *real)] for x, t in pairs]
    judge = lpips.load("vgg")

    @torch.no_grad()
    def seen(aim: Goal) -> tuple[list[Tensor], float]:
        """The target in its decoded view, and how far the clean picture is from it."""
        clean, wanted = (judge.features(aim.extractor.decode(z)) for z in (aim.clean, aim.features))
        return wanted, float(judge.compare(clean, wanted))

    views = [[seen(aim) for aim in aims[1:]] for aims in goals]
    rows, q = [], flip_bound(LPIPS)
    for name, changes in GRID.items():
        if args.only and name not in args.only:
            continue
        recipe = replace(DEFAULT, budget=LPIPS, flip=q, **changes)
        metrics = ("progress_surrogate", "progress", "decoded_shift", "lpips", "flip")
        found: dict[str, list[float]] = {metric: [] for metric in metrics}
        began = sum(os.times()[:2])
        for (x, t), aims, before in zip(pairs, goals, views, strict=True):
            bounds = Budget(x, LPIPS, q)
            made = within(bounds, x, glaze(x, t, extractors=[surrogate], settings=recipe).delta, upper=2)
            saved = as_8_bit(x + made)
            with torch.no_grad():
                progress = [1 - float(aim.remaining(saved)) for aim in aims]
                found["lpips"].append(float(bounds.lpips(saved)))
                found["flip"].append(float(bounds.flip(saved)))
                after = [
                    float(judge.compare(judge.features(aim.extractor.decode(aim.encode(saved))), wanted)) / far
                    for aim, (wanted, far) in zip(aims[1:], before, strict=True)
                ]
            found["decoded_shift"].append(1 - sum(after) / len(after))
            found["progress_surrogate"].append(progress[0])
            found["progress"].append(sum(progress[1:]) / len(real))
        for metric, values in found.items():
            mean, low, high = mean_interval(values)
            rows.append(Row(metric, mean, len(values), low, high, recipe=name))
        seconds = sum(os.times()[:2]) - began
        print(f"{name:20}", *(f"{m} {sum(v) / len(v):.3f}" for m, v in found.items()), f"{seconds:.0f} s", flush=True)
    digests = {name: weights.sha256(args.weights / name) for name in TEACHERS.values()} | {
        "surrogate": surrogate.sha256
    }
    settings = {"side": SIDE, "flip": q, "lpips": LPIPS, "style": args.style, "pictures": [path.stem for path in paths]}
    Result("tuning", __version__, 0, "cpu", settings, digests, rows).save(args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("--weights", type=Path, required=True, help="../shared/weights")
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--style", default="pieter-bruegel-the-elder-1")
    parser.add_argument("--only", nargs="*", help="names of the grid")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/tuning.json"))
    run(parser.parse_args())
