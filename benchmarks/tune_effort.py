"""Choose the presets' steps and learning rates, on the tuning artists only (Kate Greenaway and Ivan Aivazovsky).

    python benchmarks/tune_effort.py ../shared/art -o results/effort.json

The last two pictures of each artist, the middle 256 px square of each at 512 px short side, LPIPS 0.05;
``latent_remaining`` after fitting to the budget.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from velatura import __version__
from velatura.cloaks import glaze
from velatura.cloaks.cloak import goals
from velatura.images import read
from velatura.protect import EFFORTS, Protector, Settings
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval

ARTISTS = ("paintings/kate-greenaway", "paintings/ivan-aivazovsky")
TUNED = EFFORTS["default"]
GRID = [
    replace(TUNED, alpha_start=None, alpha=30.0, beta2=0.999, learning_rate=0.01),
    replace(TUNED, alpha_start=None, alpha=5.0, learning_rate=0.01),
    replace(TUNED, alpha_start=None, alpha=2.5, learning_rate=0.01),
    TUNED,
    replace(TUNED, learning_rate=0.02),
    *(replace(TUNED, cast=1.5, gamma=gamma) for gamma in (1.0, 3.0, 9.0)),
    replace(EFFORTS["fast"], cast=1.5),
    replace(EFFORTS["max"], cast=1.5),
]


def middle(picture: Tensor, side: int = 256) -> Tensor:
    top, left = ((n - side) // 2 for n in picture.shape[-2:])
    return picture[..., top : top + side, left : left + side]


def run(root: Path, output: Path, budget: float) -> None:
    protector = Protector(Settings(models=("mini",)))
    paths = [path for artist in ARTISTS for path in sorted((root / artist).glob("*.jpg"))[-2:]]
    pairs = []
    for path in paths:
        artwork = read(path)
        original = protector.working(artwork)
        target = protector.paint(original, protector.choose([protector.look(artwork)]))
        pairs.append((middle(original), middle(target)))
    rows = []
    for recipe in GRID:
        settings = replace(recipe, budget=budget)
        remaining, start = [], time.perf_counter()
        for original, target in pairs:
            delta = glaze(original, target, extractors=protector.extractors, settings=settings).delta
            (aim,) = goals(protector.extractors, original, target)
            remaining.append(float(aim.remaining(original + delta)))
        seconds = (time.perf_counter() - start) / len(pairs)
        words = f"{settings.steps} steps, Adam {recipe.learning_rate:g}, β₂ {settings.beta2:g}, α "
        words += f"{settings.alpha_start:g} to {settings.alpha:g}" if settings.alpha_start else f"{settings.alpha:g}"
        words += f", cast at most {settings.cast:g}, γ {settings.gamma:g}" if settings.cast else ""
        mean, low, high = mean_interval(remaining)
        rows.append(Row("latent_remaining", mean, len(pairs), low, high, cloak="glaze", budget=budget, recipe=words))
        print(f"{words:48} {mean:.3f} ({low:.3f}-{high:.3f}), {seconds:.1f} s a picture", flush=True)
    settings_used = {"pictures": [p.name for p in paths], "precision": protector.ways}
    Result("effort", __version__, 0, protector.device, settings_used, protector.weights(), rows).save(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/effort.json"))
    parser.add_argument("--budget", type=float, default=0.05)
    args = parser.parse_args()
    run(args.art, args.output, args.budget)
