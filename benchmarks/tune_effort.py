"""Choose the presets' steps, rates and penalties, on the tuning artists only (Kate Greenaway and Ivan Aivazovsky).

    python benchmarks/tune_effort.py ../shared/art -o results/effort.json

Middle squares of four pictures an artist at the scale model's working resolution, two targets a picture, δ from the
instant cloak and with the bound on colours as in ``velatura protect``. ``latent_remaining`` and ``view_change`` (how
much the style that the model sees changes, in the eyes of the perceptual network that trials of T use) of the 8-bit
picture within its budgets; nothing here is of the judges' network. ``view_gain``: over the default's, picture by
picture. Means with 95 % t-intervals over pairs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from cloaks import pictures, square

from velatura import __version__
from velatura.cloaks import GlazeSettings, glaze
from velatura.cloaks.budget import as_8_bit
from velatura.cloaks.cloak import goals
from velatura.evaluation.arms import Arm, colour_bound
from velatura.perception.style import style, style_change
from velatura.protect import EFFORTS, Protector, Settings
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval
from velatura.styles import catalogue, transfer

SIDE, EACH = 128, 4
# Of these, mimics were trained as well (results/evaluation/fast-*.json).
TARGETS = {
    "paintings/kate-greenaway": ("el-greco", "edvard-munch-the-scream"),
    "paintings/ivan-aivazovsky": ("pieter-bruegel", "katsushika-hokusai"),
}
DEFAULT, FAST = EFFORTS["default"], EFFORTS["fast"]
GRID = [
    DEFAULT,
    replace(DEFAULT, alpha_start=None, alpha=30.0, gamma_start=None, beta2=0.999, learning_rate=0.01),
    replace(DEFAULT, alpha_start=None, alpha=3.0, gamma_start=None),
    *(replace(DEFAULT, alpha=alpha) for alpha in (3.0, 16.0)),
    replace(DEFAULT, gamma_start=0.1125),  # the default until November 2026
    *(replace(DEFAULT, gamma=gamma) for gamma in (1.5, 6.0)),
    *(replace(DEFAULT, learning_rate=rate) for rate in (0.01, 0.02)),
    replace(DEFAULT, beta2=0.99),
    FAST,
    *(replace(FAST, learning_rate=rate) for rate in (0.01, 0.02)),
    replace(FAST, learning_rate=0.02, gamma_start=0.1125),  # "fast" until then
    replace(DEFAULT, steps=90),
    EFFORTS["max"],
]


def words(recipe: GlazeSettings) -> str:
    alpha, gamma = (
        f"{last:g}" if first is None else f"{first:g} to {last:g}"
        for first, last in ((recipe.alpha_start, recipe.alpha), (recipe.gamma_start, recipe.gamma))
    )
    return f"{recipe.steps} steps, Adam {recipe.learning_rate:g}, β₂ {recipe.beta2:g}, α {alpha}, γ {gamma}"


def pairs(art: Path) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Squares, each as often as there are styles for it; their targets; names."""
    book, squares, targets, names = catalogue.load(), [], [], []
    for artist, styles in TARGETS.items():
        for path in pictures(art, artist, EACH):
            original = square(path, SIDE)
            names.append(path.name)
            for name in styles:
                squares.append(original)
                targets.append(transfer.paint(original, torch.tensor([book.find(name).vector])))
    return torch.cat(squares), torch.cat(targets), names


def measured(protector: Protector, originals: torch.Tensor, targets: torch.Tensor) -> Iterator[list[Row]]:
    """The rows of each recipe of the grid."""
    (eye,), usual = protector.extractors, protector.settings.cloak()
    begun = protector.start(originals, targets, usual)
    (aim,) = goals([eye], originals, targets)
    with torch.no_grad():
        own = style(eye.view(originals))
    default: list[float] = []
    for recipe in GRID:
        settings = replace(recipe, budget=usual.budget, cast=usual.cast)
        delta = glaze(originals, targets, extractors=[eye], settings=settings, start=begun).delta
        with torch.no_grad():
            saved = as_8_bit(originals + delta)
            figures = {
                "latent_remaining": aim.remaining(saved).tolist(),
                "view_change": style_change(own, style(eye.view(saved))).tolist(),
            }
        default = default or figures["view_change"]  # the grid's first
        figures["view_gain"] = [seen - usually for seen, usually in zip(figures["view_change"], default, strict=True)]
        about = {"cloak": "velatura", "budget": usual.budget, "recipe": words(recipe)}
        rows = []
        for metric, values in figures.items():
            mean, low, high = mean_interval(values)
            rows.append(Row(metric, mean, len(values), low, high, **about))
        yield rows


def run(art: Path, output: Path, budgets: list[float]) -> None:
    originals, targets, names = pairs(art)
    rows: list[Row] = []
    for budget in budgets:
        cast = colour_bound(Arm("velatura", budget), SIDE)
        protector = Protector(Settings(models=("mini",), resolutions=(SIDE,), budget=budget, cast=cast))
        begun = time.perf_counter()
        for found in measured(protector, originals, targets):
            rows += found
            shown = ", ".join(f"{r.metric} {r.value:.3f} ({r.low:.3f}-{r.high:.3f})" for r in found)
            print(f"LPIPS {budget:g}: {found[0].recipe:52} {shown}, {time.perf_counter() - begun:.0f} s", flush=True)
    about = {"pictures": names, "targets": TARGETS, "side": SIDE, "precision": protector.ways}
    Result("effort", __version__, 0, protector.device, about, protector.weights(), rows).save(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/effort.json"))
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.05, 0.1])
    args = parser.parse_args()
    run(args.art, args.output, args.budgets)
