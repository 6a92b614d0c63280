"""Choose the presets' steps and learning rates, on the tuning artists only (Kate Greenaway and Ivan Aivazovsky).

    python benchmarks/tune_effort.py ../shared/art -o results/effort.json

The last two pictures of each artist, 512 px, LPIPS 0.1; ``latent_remaining`` after fitting to the budget.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from velatura import __version__
from velatura.cloaks import GlazeSettings, glaze
from velatura.cloaks.cloak import goals
from velatura.images import read
from velatura.protect import Protector, Settings
from velatura.reports.result import Result, Row
from velatura.reports.statistics import bootstrap_mean

ARTISTS = ("paintings/kate-greenaway", "paintings/ivan-aivazovsky")
GRID = [
    *((20, rate, True) for rate in (0.01, 0.02, 0.04)),
    *((50, rate, True) for rate in (0.01, 0.02, 0.04)),
    (200, 0.01, True),
    (200, 0.02, True),
]


def run(root: Path, output: Path, budget: float) -> None:
    protector = Protector(Settings(models=("mini",)))
    paths = [path for artist in ARTISTS for path in sorted((root / artist).glob("*.jpg"))[-2:]]
    pairs = []
    for path in paths:
        artwork = read(path)
        original = protector.working(artwork)
        pairs.append((original, protector.paint(original, protector.choose([protector.place(artwork)]))))
    rows = []
    for steps, rate, decay in GRID:
        settings = GlazeSettings(budget, steps=steps, learning_rate=rate, decay=decay)
        remaining, start = [], time.perf_counter()
        for original, target in pairs:
            delta = glaze(original, target, extractors=protector.extractors, settings=settings).delta
            (aim,) = goals(protector.extractors, original, target)
            remaining.append(float(aim.remaining(original + delta)))
        seconds = (time.perf_counter() - start) / len(pairs)
        recipe = f"{steps} steps, Adam {rate:g}" + (", cosine" if decay else "")
        mean, low, high = bootstrap_mean(remaining)
        rows.append(Row("latent_remaining", mean, len(pairs), low, high, cloak="glaze", budget=budget, recipe=recipe))
        print(f"{recipe:32} {mean:.3f} ({low:.3f}-{high:.3f}), {seconds:.1f} s a picture", flush=True)
    settings_used = {"pictures": [p.name for p in paths], "precision": protector.ways}
    Result("effort", __version__, 0, protector.device, settings_used, protector.weights(), rows).save(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/effort.json"))
    parser.add_argument("--budget", type=float, default=0.1)
    args = parser.parse_args()
    run(args.art, args.output, args.budget)
