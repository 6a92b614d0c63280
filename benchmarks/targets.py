"""How much the choice of the target style T matters, and whether a short trial tells beforehand.

    python benchmarks/targets.py ../shared/art -o results/cloaks/targets.json

Two pictures each of the artists that may be tuned on (Kate Greenaway, Ivan Aivazovsky), their middle squares; for each
artist some of the styles that T is drawn from (``styles.choose``), nearest to farthest. Each is cloaked with the
default objective at one LPIPS. ``decoded_shift`` is a share of the way to T; ``moved`` how far the decoded picture went
from where it was, LPIPS by VGG16, whatever T is: what a mimic sees of the artist's style goes with it. ``trial``: the
same by AlexNet after a few steps, which a product could measure before it chooses. The last row is Spearman's rank
correlation of ``trial`` with ``moved`` within artists.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from cloaks import TUNING, pictures, square
from objectives import RECIPES, Course, Recipe, cloak
from torch import Tensor

from velatura import __version__
from velatura.cloaks.budget import as_8_bit
from velatura.images import read
from velatura.perception.lpips import LPIPS
from velatura.protect import Protector, Settings
from velatura.reports.prediction import spearman
from velatura.reports.result import Result, Row


@torch.no_grad()
def moved(course: Course, delta: Tensor, net: LPIPS) -> float:
    """LPIPS of the decoded pictures to themselves before, mean over pictures."""
    view = course.seen.view(as_8_bit(course.x + delta))
    return float(net.compare(net.features(view), net.features(course.view)).mean())


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    protector = Protector(Settings(models=("mini",), resolutions=(args.side,), seed=args.seed))
    rows, pairs = [], []
    for artist, _ in TUNING:
        name = Path(artist).name
        paths = pictures(args.art, artist, args.each)
        own = [square(path, args.side) for path in paths]
        places = [protector.place(read(path)) for path in paths]
        inside = [style for style, _, _, candidate in protector.choose(places).ranking if candidate]
        for i in range(args.styles):
            style = inside[i * (len(inside) - 1) // max(1, args.styles - 1)]
            protector.settings = Settings(models=("mini",), resolutions=(args.side,), seed=args.seed, style=style)
            choice = protector.choose(places)
            course = Course(own, [protector.paint(x, choice) for x in own])
            delta = cloak(course, RECIPES["latent"], args.budget, args.side)
            short = cloak(course, Recipe({"latent": 1}, changes={"steps": args.trial}), args.budget, args.side)
            shift = course.figures(delta)["decoded_shift"]
            figures = {
                "decoded_shift": sum(shift) / len(shift),
                "moved": moved(course, delta, course.vgg),
                "trial": moved(course, short, course.alex),
            }
            pairs.append((name, figures["trial"], figures["moved"]))
            rows += [
                Row(metric, value, len(own), artist=name, budget=args.budget, recipe=style, seed=args.seed)
                for metric, value in figures.items()
            ]
            print(name, style, {key: round(value, 3) for key, value in figures.items()}, flush=True)
        protector.settings = Settings(models=("mini",), resolutions=(args.side,), seed=args.seed)
    for name in dict.fromkeys(artist for artist, _, _ in pairs):
        own_pairs = [(a, b) for artist, a, b in pairs if artist == name]
        found = spearman(*(np.array(values) for values in zip(*own_pairs, strict=True)))
        rows.append(Row("rank_correlation", found, len(own_pairs), artist=name, budget=args.budget, seed=args.seed))
        print(name, "rank correlation", round(found, 2), flush=True)
    settings = {"side": args.side, "trial_steps": args.trial, "pictures": args.each}
    Result("targets", __version__, args.seed, "cpu", settings, protector.weights(), rows).save(args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/cloaks/targets.json"))
    parser.add_argument("--side", type=int, default=128, help="px")
    parser.add_argument("--each", type=int, default=2, help="pictures an artist")
    parser.add_argument("--styles", type=int, default=5, help="an artist")
    parser.add_argument("--trial", type=int, default=8, help="steps of the trial")
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args())
