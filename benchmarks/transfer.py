"""Cloaks made on one autoencoder, seen by others.

    python benchmarks/transfer.py ../shared/art --weights ../shared/weights/taef2 -o results/cloaks/transfer.json
    python benchmarks/transfer.py ../shared/art --weights ../shared/weights/taef2 --seen other-seed=FOLDER

Pictures (``--each``) of the artists that may be tuned on (Kate Greenaway, Ivan Aivazovsky), middle squares. Cloaks
are made on the miniature's autoencoder, on ``--weights`` and on both, and looked at by each of them and by every
``--seen``: an autoencoder of another seed (``training/train_autoencoder.py --seed 1``), say, which no cloak is made on.
Cloaks begin from nothing here: the product's begin from the instant one, which knows the miniature. Noise of equal
LPIPS stands beside. Means with 95 % t-intervals over pictures.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from cloaks import TUNING, pictures, square

from velatura import __version__
from velatura.diffusion import extractors
from velatura.evaluation.arms import Arm, protect
from velatura.evaluation.register import Eye, Register
from velatura.images import read, working
from velatura.protect import EFFORTS, Protector, Settings
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval


def labelled(text: str) -> tuple[str, str]:
    label, _, folder = text.partition("=")
    if not folder:
        raise argparse.ArgumentTypeError(f"expected LABEL=FOLDER, got {text!r}")
    return label, folder


def run(args: argparse.Namespace) -> None:
    other = str(args.weights)
    made_on = {"mini": ("mini",), args.weights.name: (other,), f"mini+{args.weights.name}": ("mini", other)}
    named = {"mini": "mini", args.weights.name: other, **dict(args.seen)}
    if len(named) < 2 + len(args.seen):
        raise SystemExit("--seen: expected names of their own, LABEL=FOLDER")
    eyes = {label: Eye(extractors.load(name)) for label, name in named.items()}
    rows, digests = [], {name: eye.seen.sha256 for name, eye in eyes.items()}
    for method in args.methods:
        for about, models in made_on.items():
            protector = Protector(Settings(models=models, resolutions=(args.side,), seed=args.seed))
            shifts: dict[str, list[float]] = {name: [] for name in eyes}
            for artist, _ in TUNING:
                paths = pictures(args.art, artist, args.each)
                originals = [square(path, args.side) for path in paths]
                choice = protector.choose([protector.look(read(path)) for path in paths])
                free = protector.settings
                protector.settings = replace(free, style=choice.style.name)  # the same T for cloak and eye
                made = protect(Arm(method, args.budget), protector, originals, args.seed, at_once=False)
                protector.settings = free
                saved = [working(read(data), args.side) for data in made.files]
                targets = [protector.paint(x, choice) for x in originals]
                for name, eye in eyes.items():
                    register = Register(originals, targets, eye)
                    away = [eye.distance(x, goal) for x, goal in zip(saved, register.goals, strict=True)]
                    shifts[name] += [1 - now / start for now, start in zip(away, register.start, strict=True)]
            for name, values in shifts.items():
                mean, low, high = mean_interval(values)
                arm, recipe = Arm(method, args.budget), f"on {about}, seen by {name}"
                rows.append(
                    Row("decoded_shift", mean, len(values), low, high, arm=arm.kind, cloak=method, budget=args.budget,
                        recipe=recipe, seed=args.seed)
                )  # fmt: skip
                print(f"{method:10} {recipe:40} {mean:.2f} ({low:.2f} to {high:.2f})", flush=True)
            if method == "noise":
                break  # it is not made on a model
    settings = {"side": args.side, "eyes": list(eyes), "gamma_start": EFFORTS["default"].gamma_start}
    Result("transfer", __version__, args.seed, "cpu", settings, digests, rows).save(args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/cloaks/transfer.json"))
    parser.add_argument("--weights", type=Path, default=Path("../shared/weights/taef2"), help="another autoencoder")
    parser.add_argument(
        "--seen", type=labelled, nargs="*", default=[], help="LABEL=FOLDER: autoencoders that only look"
    )
    parser.add_argument("--methods", nargs="+", default=["noise", "velatura", "blend"])
    parser.add_argument("--side", type=int, default=128, help="px")
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--each", type=int, default=3, help="pictures an artist")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args())
