"""Does the mimic work on clean art? The plan ``clean`` for each held-out artist, its results and sheets committed.

    python benchmarks/mimicry.py ../shared/art            # results/mimicry/ARTIST.json, sheets in docs/images
    python benchmarks/mimicry.py ../shared/art --tune     # recipes and guidance, on the tuning artists only
    python benchmarks/mimicry.py ../shared/art --tune --method lora
    python benchmarks/mimicry.py ../shared/art --time     # what one arm costs here: results/mimicry-arm.json

An attack that does not work on unprotected pictures can prove nothing about a cloak.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from velatura import __version__
from velatura.evaluation import Arm, Experiment, Setup, named_plans, run
from velatura.evaluation.plan import carry_out
from velatura.images import save
from velatura.images.libvips import pyvips
from velatura.mimicry.pictures import contact_sheet
from velatura.reports.result import Result, Row

# Tuned on the first two, reported on all; 20 training pictures where there are enough.
TUNING = {"paintings/kate-greenaway": 14, "paintings/ivan-aivazovsky": 14}
REPORTING = {"paintings/vincent-van-gogh": 20, "modern/david-revoy": 20}
# The share of captions cut down to the name is of an earlier grid, with the first U-Net.
GRIDS: dict[str, list[dict[str, Any]]] = {
    "full": [{"steps": steps, "rate": rate} for steps, rate in ((300, 5e-4), (600, 5e-4), (300, 1e-3), (300, 2e-3))],
    "lora": [{"subject_dropout": 0.4, "rank": 32, "rate": rate} for rate in (1e-3, 2e-3, 4e-3)],
    "dreambooth": [{"subject_dropout": 0.4, "rate": rate} for rate in (1e-4, 3e-4, 1e-3)],
    "textual-inversion": [{"rate": rate} for rate in (3e-3, 1e-2, 3e-2)],
}
GUIDANCE = {"full": (1.5, 3.0)}  # of the others, 1.5 only


def experiment(art: Path, artist: str, training: int, seed: int) -> Experiment:
    paths = sorted((art / artist).glob("*.jpg"))
    name = Path(artist).name.replace("-", " ")
    return Experiment(paths, name, named_plans.arms("clean"), training=training, seeds=(seed,))


def sheets(setup: Setup, start: Path) -> None:
    """Every other picture of the base model and of the mimic, ``START-ARM.jpg``."""
    for arm in (arm for arm in setup.experiment.arms if arm.method != "real"):
        folder = setup.folders.samples(arm, setup.ways[0], setup.experiment.seeds[0])
        sheet = pyvips.Image.new_from_buffer(contact_sheet(sorted(folder.glob("*.png"))[::2]), "")
        save(sheet.jpegsave_buffer(Q=85), start.with_name(f"{start.name}-{arm.method}.jpg"))


def chosen(artists: dict[str, int], only: str | None) -> dict[str, int]:
    return {artist: count for artist, count in artists.items() if only in (None, Path(artist).name)}


def say(what: str, done: int, total: int) -> None:
    if done == total:
        print(what, flush=True)


def timed(art: Path, seed: int) -> Result:
    """Seconds of one arm with nothing there yet: training, 96 pictures, judging, and all of it."""
    artist, count = next(reversed(TUNING.items()))
    spent: dict[str, float] = {}
    start = last = time.perf_counter()

    def say(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.perf_counter()
        stage = what.partition(":")[0]
        spent[stage] = spent.get(stage, 0.0) + now - last
        last = now

    plan = replace(experiment(art, artist, count, seed), arms=(Arm("clean"),))
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(plan, Path(folder))
        carry_out(setup, say)
    seconds = spent | {"arm": time.perf_counter() - start}
    rows = [Row(f"{what.replace(' ', '_')}_seconds", value, 1, arm="clean") for what, value in seconds.items()]
    settings = {"artist": artist, "load_average": os.getloadavg()[1], "recipe": asdict(setup.ways[0].settings)}
    return Result("mimicry-arm", __version__, seed, "cpu", settings, {}, rows)


def main(args: argparse.Namespace) -> None:
    if args.time:
        result = timed(args.art, args.seed)
        result.save(args.output.parent / "mimicry-arm.json")
        print([(row.metric, round(row.value, 1)) for row in result.rows])
        return
    if args.tune:
        grid, guided = GRIDS[args.method], GUIDANCE.get(args.method, (1.5,))
        for changes, guidance, (artist, training) in product(grid, guided, chosen(TUNING, args.only).items()):
            plan = experiment(args.art, artist, training, args.seed)
            plan = replace(plan, method=args.method, changes=changes, guidance=guidance)
            rows = run(plan, args.work / Path(artist).name).rows
            shown = {f"{r.arm} {r.metric}": round(r.value, 3) for r in rows if r.metric.startswith("style_top")}
            print(changes, guidance, artist, shown, flush=True)
        return
    for artist, training in chosen(TUNING | REPORTING, args.only).items():
        name = Path(artist).name
        work = args.work / name
        setup = Setup(experiment(args.art, artist, training, args.seed), work)
        result = carry_out(setup, say)
        result.command = f"python benchmarks/mimicry.py ../shared/art --seed {args.seed}"
        result.save(args.output / f"{name}.json")
        sheets(setup, args.sheets / f"mimicry-{name}")
        print(name, [(r.arm, r.metric, round(r.value, 3)) for r in result.rows], result.flags, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/mimicry"))
    parser.add_argument("--sheets", type=Path, default=Path("docs/images"))
    parser.add_argument("--work", type=Path, default=Path("runs/mimicry"), help="models and pictures, kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one artist's folder, to work on several at a time")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--method", choices=list(GRIDS), default="full", help="of fine-tuning, for --tune")
    parser.add_argument("--time", action="store_true")
    main(parser.parse_args())
