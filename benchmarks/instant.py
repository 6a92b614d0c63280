"""The instant cloak: alone, and as a start for the optimiser, beside the optimiser from nothing.

    python benchmarks/instant.py ../shared/art -o results/cloaks/instant.json
    python benchmarks/instant.py ../shared/art --tuning --rates 0.007 0.014 --starts 0.3 2 -o runs/instant.json
    python benchmarks/instant.py ../shared/art --model ../shared/weights/taef2 -o results/cloaks/surrogate.json

``--model``: another autoencoder is deceived, and the miniature is its surrogate: where a step of a full-size encoder
takes as long as 50 of the miniature's (benchmarks/speed.py), what the miniature can do first need not be done there.

Middle squares of the reporting artists (Van Gogh, David Revoy; ``--tuning``: Kate Greenaway, Ivan Aivazovsky) through
``velatura protect``'s own code: PNG files at the working resolution, one target style an artist. ``recipe``: ``noise``,
``instant``, ``cold N`` and ``warm N``: N steps of the default preset from nothing, and from the instant cloak; with
``--model``, ``miniature`` and ``miniature N``: the miniature's cloak, and N steps from it. Means with 95 % t-intervals;
``ratio_to_default``: decoded shift over that of the default preset's steps from nothing, picture by picture. Seconds
are δ's, on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from cloaks import REPORTING, TUNING, pictures, square
from torch import Tensor
from velatura.protect.figures import views, visible

from velatura import __version__, weights
from velatura.cloaks import GlazeSettings, NoiseSettings, glaze, noise
from velatura.cloaks.instant import InstantSettings, instant
from velatura.evaluation.arms import Arm, colour_bound
from velatura.images import read
from velatura.perception.lpips import lpips
from velatura.protect import EFFORTS, Protector, Settings
from velatura.protect.protector import STYLE_MODEL, png
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval
from velatura.styles.choose import Choice

Maker = Callable[[Tensor, Tensor], Tensor]
"""A picture and its target to δ."""


def makers(protector: Protector, args: argparse.Namespace) -> dict[str, Maker]:
    usual = protector.settings.cloak()
    alone, own = InstantSettings(usual.budget, usual.cast), [protector.style_model]

    def at_once(picture: Tensor, target: Tensor) -> Tensor:
        return instant(picture, target, extractors=own, settings=alone).delta

    def miniature(picture: Tensor, target: Tensor) -> Tensor:
        return glaze(picture, target, extractors=own, settings=usual).delta

    def optimised(settings: GlazeSettings, first: Maker | None) -> Maker:
        def make(picture: Tensor, target: Tensor) -> Tensor:
            start = None if first is None else first(picture, target)
            return glaze(picture, target, extractors=protector.extractors, settings=settings, start=start).delta

        return make

    found: dict[str, Maker] = {
        "noise": lambda picture, target: noise(picture, settings=NoiseSettings(usual.budget, 0)).delta,
        "instant": at_once,
    }
    cold = sorted({*args.cold, EFFORTS["default"].steps})
    found |= {f"cold {n}": optimised(replace(usual, steps=n), None) for n in cold}
    for n in args.warm:
        found[f"warm {n}"] = optimised(replace(usual, steps=n), at_once)
        for rate, start in product(args.rates, args.starts):
            settings = replace(usual, steps=n, learning_rate=rate, alpha_start=start)
            found[f"warm {n}, {rate:g}, {start:g}"] = optimised(settings, at_once)
    if args.model != STYLE_MODEL:
        found["miniature"] = miniature
        found |= {f"miniature {n}": optimised(replace(usual, steps=n), miniature) for n in args.warm}
    return found


def measured(protector: Protector, picture: Tensor, make: Maker, choice: Choice) -> dict[str, float]:
    artwork = read(png(picture))
    original = protector.working(artwork)
    target = protector.paint(original, choice)
    start = time.perf_counter()
    delta = make(original, target)
    seconds = time.perf_counter() - start
    _, file, _, scale = protector.fit(artwork, original, delta, largest=8.0, enough=0.97)
    saved = protector.working(file)
    seen = views(protector.extractors, original, saved, target, protector.settings.budget, 0)[0].figures
    shown = {key: seen[key] for key in ("latent_remaining", "decoded_shift", "view_change")}
    shown["lpips"] = float(lpips(original, saved))
    return {**visible(original, saved), "delta_scale": scale, **shown, "seconds": seconds}


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    cast = colour_bound(Arm("velatura", args.budget), args.side)
    settings = Settings(budget=args.budget, cast=cast, models=(args.model,), resolutions=(args.side,), seed=args.seed)
    protector = Protector(settings)
    found: dict[str, list[dict[str, float]]] = {}
    targets = {}
    square_of_noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for make in makers(protector, args).values():  # networks are loaded before anything is timed
        make(square_of_noise, square_of_noise.flip(-1))
    for artist, count in TUNING if args.tuning else REPORTING:
        paths = pictures(args.art, artist, args.each or count)
        choice = protector.choose([protector.look(read(path)) for path in paths])
        targets[artist] = choice.style.name
        for path in paths:
            for recipe, make in makers(protector, args).items():
                found.setdefault(recipe, []).append(measured(protector, square(path, args.side), make, choice))
    usual_steps = EFFORTS["default"].steps
    default = [f["decoded_shift"] for f in found[f"cold {usual_steps}"]]
    rows = []
    for recipe, figures in found.items():
        for f, usual in zip(figures, default, strict=True):
            f["ratio_to_default"] = f["decoded_shift"] / usual
        for metric in figures[0]:
            value, low, high = mean_interval([f[metric] for f in figures])
            arm, cloak = ("noise", None) if recipe == "noise" else ("cloaked", recipe.partition(" ")[0])
            rows.append(
                Row(metric, value, len(figures), low, high, arm=arm, cloak=cloak, budget=args.budget, recipe=recipe,
                    seed=args.seed)
            )  # fmt: skip
        shown = ("decoded_shift", "ratio_to_default", "view_change", "seconds")
        print(f"{recipe:20}", *(f"{r.metric} {r.value:.3f}" for r in rows[-len(figures[0]) :] if r.metric in shown))
    about = {
        "model": Path(args.model).name,
        "instant": weights.sha256(weights.embedded("instant")),
        "side": args.side,
        "cast": cast,
        "targets": targets,
        "gamma_start": EFFORTS["default"].gamma_start,
    }
    Result("instant", __version__, args.seed, "cpu", about, protector.weights(), rows, []).save(args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/cloaks/instant.json"))
    parser.add_argument("--model", default=STYLE_MODEL, help="the autoencoder that is deceived: a name, id or folder")
    parser.add_argument("--side", type=int, default=128, help="working resolution, px")
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--each", type=int, help="pictures an artist; else two and three")
    parser.add_argument("--tuning", action="store_true", help="the artists that may be tuned on")
    parser.add_argument("--cold", type=int, nargs="*", default=[5, 11, 22, 45])
    parser.add_argument("--warm", type=int, nargs="*", default=[5, 11, 22, 45])
    parser.add_argument("--rates", type=float, nargs="*", default=[], help="learning rates to try")
    parser.add_argument("--starts", type=float, nargs="*", default=[], help="first weights of the penalty to try")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args())
