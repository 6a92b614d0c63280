"""Seconds until a cloak has the decoded shift that the Glaze objective ends with, on the same autoencoder.

    python benchmarks/time_to_shift.py ../shared/art -o results/cloaks/time.json

Pictures (``--each``) of the artists that may be tuned on (Kate Greenaway, Ivan Aivazovsky), squares. The Glaze loss
runs its published recipe (500 steps of Adam, α 30) and the presets' short one; the others run the default preset,
``velatura`` as the product does, from the instant cloak. After some of the steps δ is brought to its bounds and the
decoded shift is measured; only the optimiser's own time counts. ``reached``: share of pictures whose shift reaches the
one that the published recipe, without a bound on colours, ends with; ``seconds``: until it first does, of those
pictures. ``reached_bounded`` and ``seconds_bounded``: the one that it ends with once its δ is scaled down until it
keeps the others' bound on colours as well, which leaves much of its LPIPS unused. Medians, smallest and largest over
the pictures; shares with 95 % intervals. One thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from cloaks import TUNING, pictures, square
from torch import Tensor

from velatura import __version__, weights
from velatura.cloaks import DecodedSettings, GlazeSettings, InstantSettings, Step, decoded, glaze
from velatura.cloaks.budget import as_8_bit, fit, within_cast
from velatura.cloaks.instant import beginning
from velatura.diffusion import extractors
from velatura.evaluation.methods import BLEND
from velatura.evaluation.register import Eye, Register
from velatura.images import read
from velatura.perception.color_difference import colour_cast
from velatura.perception.lpips import lpips
from velatura.protect import EFFORTS, Protector, Settings
from velatura.reports.result import Result, Row
from velatura.reports.statistics import wilson

Cloaker = Callable[[Tensor, Tensor, Callable[[Step], None]], object]


class Moment(NamedTuple):
    seconds: float
    shift: float
    lpips: float
    cast: float


class Watch:
    """δ and the seconds spent so far, after some of the steps: the same ones however many there are in all."""

    def __init__(self, apart: float) -> None:
        self.when = {round(apart**k) for k in range(200)}
        self.start = time.perf_counter()
        self.kept: list[tuple[float, Tensor]] = []
        self.paused = 0.0

    def __call__(self, step: Step) -> None:
        stop = time.perf_counter()
        if step.index in self.when or step.index == step.total:
            self.kept.append((stop - self.start - self.paused, step.delta.clone()))
        self.paused += time.perf_counter() - stop


PUBLISHED = "glaze, published recipe"
BOUNDED = f"{PUBLISHED}, scaled to the bound on colours"
AIMS = {"": PUBLISHED, "_bounded": BOUNDED}  # by the end of a metric's name


def cloakers(eye: Eye, budget: float, cast: float, published: int) -> dict[str, tuple[Cloaker, float | None]]:
    """Each with its bound on colours, if it has one."""
    short = replace(EFFORTS["default"], budget=budget)
    recipes: dict[str, GlazeSettings | DecodedSettings] = {
        PUBLISHED: GlazeSettings(budget, steps=published),
        "glaze": short,
        "velatura, from nothing": replace(short, cast=cast),
        "blend": replace(DecodedSettings(**asdict(replace(short, cast=cast))), **BLEND),
        "blend, no bound on colours": replace(DecodedSettings(**asdict(short)), **BLEND),
    }

    def make(settings: GlazeSettings | DecodedSettings) -> Cloaker:
        if isinstance(settings, DecodedSettings):
            return lambda x, t, tell: decoded(x, t, extractors=[eye.seen], settings=settings, on_step=tell)
        return lambda x, t, tell: glaze(x, t, extractors=[eye.seen], settings=settings, on_step=tell)

    def at_once(x: Tensor, t: Tensor, tell: Callable[[Step], None]) -> object:
        start = beginning(x, t, settings=InstantSettings(budget, cast))
        return glaze(x, t, extractors=[eye.seen], settings=replace(short, cast=cast), on_step=tell, start=start)

    square_of_noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    beginning(square_of_noise, square_of_noise, settings=InstantSettings(budget, cast))  # the network is loaded
    found = {name: (make(settings), settings.cast) for name, settings in recipes.items()}
    return {**found, BOUNDED: (found[PUBLISHED][0], cast), "velatura": (at_once, cast)}


def course(
    cloaker: Cloaker, cast: float | None, register: Register, index: int, budget: float, apart: float
) -> list[Moment]:
    """Picture ``index`` along a run, δ brought to its bounds as at the end of one."""
    x, t = register.originals[index], register.targets[index]
    watch = Watch(apart)
    cloaker(x, t, watch)
    found = []
    for seconds, delta in watch.kept:
        fitted = fit(x, delta, budget)
        if cast is not None:
            fitted = within_cast(x, fitted, cast, rounds=3)
        saved = as_8_bit(x + fitted)
        away = register.eye.distance(saved, register.goals[index])
        seen = float(lpips(x, saved)), float(colour_cast(x, saved))
        found.append(Moment(seconds, 1 - away / register.start[index], *seen))
    return found


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    eye = Eye(extractors.load(str(args.model)))
    protector = Protector(Settings(models=("mini",), resolutions=(args.side,), seed=args.seed))
    cast = 30 * args.budget * max(1.0, 512 / args.side)  # evaluation.arms.colour_bound
    courses: dict[str, list[list[Moment]]] = {}
    for artist, _ in TUNING:
        paths = pictures(args.art, artist, args.each)
        originals = [square(path, args.side) for path in paths]
        choice = protector.choose([protector.look(read(path)) for path in paths])
        register = Register(originals, [protector.paint(x, choice) for x in originals], eye)
        for name, (cloaker, bound) in cloakers(eye, args.budget, cast, args.published).items():
            for index in range(len(originals)):
                courses.setdefault(name, []).append(course(cloaker, bound, register, index, args.budget, args.apart))
            print(name, artist, [f"{c[-1].shift:.2f} in {c[-1].seconds:.1f} s" for c in courses[name]], flush=True)
    rows, flags = table(courses, args.budget, args.seed)
    settings = {"side": args.side, "published_steps": args.published, "apart": args.apart, "cast": cast, "threads": 1}
    settings["gamma_start"] = EFFORTS["default"].gamma_start
    digests = {eye.seen.name: eye.seen.sha256, "instant": weights.sha256(weights.embedded("instant"))}
    Result("time-to-shift", __version__, args.seed, "cpu", settings, digests, rows, flags).save(args.output)


def table(courses: dict[str, list[list[Moment]]], budget: float, seed: int) -> tuple[list[Row], list[str]]:
    rows, flags = [], []
    for name, runs in courses.items():
        about = {"arm": "cloaked", "cloak": name, "budget": budget, "seed": seed}
        ends = [found[-1] for found in runs]
        figures = {"seconds_whole_run": [end.seconds for end in ends], "decoded_shift": [end.shift for end in ends]}
        figures |= {"lpips": [end.lpips for end in ends], "colour_cast": [end.cast for end in ends]}
        for ending, published in AIMS.items():
            aims = [found[-1].shift for found in courses[published]]
            reached = [first(found, aim) for found, aim in zip(runs, aims, strict=True)]
            times = [seconds for seconds in reached if seconds is not None]
            share = len(times) / len(runs)
            rows.append(Row(f"reached{ending}", share, len(runs), *wilson(len(times), len(runs)), **about))
            if len(times) < len(runs):
                missed = len(runs) - len(times)
                flags.append(f"{name}: {missed} of {len(runs)} pictures never reached the shift of {published!r}")
            if len(times) > 1:
                figures[f"seconds{ending}"] = times
        for metric, values in figures.items():
            middle, low, high = median(values), min(values), max(values)  # of skewed times, and of few
            rows.append(Row(metric, middle, len(values), low, high, **about))
            print(f"{name:30} {metric:18} {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)
    return rows, flags


def first(found: Sequence[Moment], aim: float) -> float | None:
    """Seconds until the shift first reaches ``aim``."""
    return next((moment.seconds for moment in found if moment.shift >= aim), None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/cloaks/time.json"))
    parser.add_argument("--model", default="mini", help="the autoencoder: a name, hub id or folder")
    parser.add_argument("--side", type=int, default=128, help="px")
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--published", type=int, default=500, help="steps of the published recipe")
    parser.add_argument("--apart", type=float, default=1.15, help="steps from one look to the next, as a factor")
    parser.add_argument("--each", type=int, default=2, help="pictures an artist")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args())
