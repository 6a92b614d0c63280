"""How far each cloak moves what a model sees, at equal LPIPS in the saved file: the first table of the project.

    python benchmarks/cloaks.py ../shared/art -o results/cloaks.json
    python benchmarks/cloaks.py ../shared/art --tuning --side 128 --methods velatura aspl -o runs/cloaks.json

Five pictures of the reporting artists (Van Gogh, David Revoy), never trained or tuned on, through the code of
``velatura lab evaluate``: their middle squares, one target style an artist, every method of ``evaluation.methods``
brought to the same LPIPS in its file. ``--tuning`` takes three pictures each of the artists that may be tuned on
instead.
Means with 95 % t-intervals over pictures. Every figure is of the miniature's own autoencoder, the one that the cloak
was made on: it says that the optimiser works, not that a mimic is stopped. Through the miniature's U-Net (``advdm``,
``aspl``, ``mist``) a picture takes minutes, so these run last; the file is written after each method.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from velatura import __version__
from velatura.evaluation import Arm
from velatura.evaluation.methods import METHODS, made_with
from velatura.evaluation.protecting import protect
from velatura.images import read, working
from velatura.protection import Protector, Settings
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval

# The presets were tuned on the second two of the held-out artists.
REPORTING = (("paintings/vincent-van-gogh", 2), ("modern/david-revoy", 3))
TUNING = (("paintings/kate-greenaway", 3), ("paintings/ivan-aivazovsky", 3))
BUDGETS = (0.05, 0.1, 0.2)


def pictures(root: Path, artist: str, count: int) -> list[Path]:
    """So many pictures of an artist, evenly spaced in order of name."""
    paths = sorted((root / artist).glob("*.jpg"))
    return [paths[(4 * i + 1) * len(paths) // (4 * count)] for i in range(count)]


def square(path: Path, side: int) -> Tensor:
    """The middle square, ``side`` px: the table is about cloaks, not about JPEG's or resampling's share."""
    picture = working(read(path), side)
    top, left = ((n - side) // 2 for n in picture.shape[-2:])
    return picture[..., top : top + side, left : left + side]


def run(args: argparse.Namespace) -> None:
    protector = Protector(Settings(models=("mini",), resolutions=(args.side,), seed=args.seed))
    works = [pictures(args.art, artist, count) for artist, count in (TUNING if args.tuning else REPORTING)]
    squares = [[square(path, args.side) for path in paths] for paths in works]
    styles = [protector.choose([protector.look(read(path)) for path in paths]).style.name for paths in works]
    found: dict[tuple[str, float], list[dict[str, float]]] = {}
    for method in sorted(args.methods or METHODS, key=lambda name: (METHODS[name].through_unet, name)):
        for budget in args.budgets:
            figures = []
            for originals, style in zip(squares, styles, strict=True):
                protector.settings = Settings(
                    models=("mini",), resolutions=(args.side,), seed=args.seed, style=style
                )  # one target for every method
                start = time.perf_counter()
                made = protect(Arm(method, budget), protector, originals, args.seed).figures
                seconds = (time.perf_counter() - start) / len(originals)
                figures += [one | {"seconds": seconds} for one in made]
            found[method, budget] = figures
            words = {key: round(sum(f[key] for f in figures) / len(figures), 3) for key in figures[0]}
            print(method, budget, words, flush=True)
        settings = {
            "pictures": [path.name for paths in works for path in paths],
            "targets": styles,
            "resolution": args.side,
            "effort": "default",
            "methods": {name: made_with(METHODS[name].settings(protector.settings.cloak(), 0.0)) for name, _ in found},
            "precision": protector.ways,
        }
        rows, flags = table(found, args.seed)
        Result("cloaks", __version__, args.seed, protector.device, settings, protector.weights(), rows, flags).save(
            args.output
        )


def table(found: dict[tuple[str, float], list[dict[str, float]]], seed: int) -> tuple[list[Row], list[str]]:
    rows, flags = [], []
    for (method, budget), figures in found.items():
        for metric in figures[0]:
            mean, low, high = mean_interval([f[metric] for f in figures])
            arm = Arm(method, budget).kind
            rows.append(Row(metric, mean, len(figures), low, high, arm=arm, cloak=method, budget=budget, seed=seed))
        if max(f["lpips"] for f in figures) > budget:
            flags.append(f"{method} at {budget:g}: budget exceeded in a saved file")
        if min(f["lpips"] for f in figures) < 0.9 * budget:
            why = " (the bound on colours may be met first)" if METHODS[method].bound else ""
            flags.append(f"{method} at {budget:g}: budget not used in a saved file{why}")
    return rows, flags


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/cloaks.json"))
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS), help="default: all")
    parser.add_argument("--budgets", nargs="+", type=float, default=BUDGETS)
    parser.add_argument("--side", type=int, default=512, help="px")
    parser.add_argument("--tuning", action="store_true", help="the artists that may be tuned on")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    run(arguments)
