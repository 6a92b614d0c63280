"""Does a short trial find the target style that a cloak takes farthest?

    python benchmarks/trials.py ../shared/art --seed 1 -o results/cloaks/trials.json

For Kate Greenaway and Ivan Aivazovsky, who may be tuned on, and some artists whom the judge knows: ``styles.choose``
draws eight styles for three pictures, and ``protect.trial`` says how far from the artist's style each takes those
three. Then other pictures by the artist are cloaked towards each of the eight with the default effort, and the style
judge looks at what the miniature sees of them: ``view_shift_top1|top3``, the share that is not placed in the artist's
style, and ``log_probability_lost``, how far the artist's log probability falls, floored at 1e-4, against that of the
plain view.

``style_change`` of pairs of these pictures, plain, by one artist and by different ones: what a change is to be compared
with.

That a trial looks at AlexNet's correlations was chosen on the styles of seed 0; seed 1 draws others. What it asks of
them was chosen on those of seed 1 and on mimics (trial_mimics.py, which says what the figures are).

``recipe``: ``tried`` (the style that the trial keeps), ``changed``, ``strayed`` (the style that it would keep by these
figures, as it once did), ``drawn`` (mean of the eight: what a draw gives), ``best`` (the best of the eight for that
figure). ``rank_correlation`` of each of these figures and ``log_probability_lost`` over the eight.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from targets import KNOWN, UNKNOWN, Totals, means
from trial_mimics import figures

from velatura import __version__, judges
from velatura.images import read
from velatura.judges.style import StyleJudge, ranks
from velatura.perception.style import style_change
from velatura.protect import Protector, Settings
from velatura.protect.protector import Look
from velatura.protect.settings import EFFORTS
from velatura.protect.trial import MOST_PICTURES, SETTINGS, cloaked, seen
from velatura.reports.prediction import spearman
from velatura.reports.result import Result, Row
from velatura.styles import transfer
from velatura.styles.catalogue import Style
from velatura.styles.choose import centroid, choose

RULES = {"tried": "cloak from home", "changed": "change", "strayed": "strayed"}
MORE = tuple(f"paintings/{name}" for name in ("walter-crane", "aubrey-beardsley", "gustave-dore", "birket-foster"))


def measured(
    protector: Protector, judge: StyleJudge, name: str, looks: list[Look], own: torch.Tensor, seed: int
) -> tuple[str, dict[str, dict[str, float]]]:
    """The style that the trial keeps, and the figures of all that were tried. ``own``: styles of all looks."""
    eye, column = protector.style_model, judge.index(name)
    full = replace(EFFORTS["default"], budget=SETTINGS.budget, cast=SETTINGS.cast)
    squares = [look.square for look in looks]
    asked, others = torch.cat(squares[:MOST_PICTURES]), torch.cat(squares[MOST_PICTURES:])
    plain = judge.probabilities(others)[:, column]
    tried: dict[str, dict[str, float]] = {}

    def trial(style: Style) -> float:
        vector = torch.tensor([style.vector])
        aims, painted = transfer.paint(asked, vector), transfer.paint(others, vector)
        found = figures(asked, cloaked(asked, aims, eye, SETTINGS), aims, own, eye)
        now = judge.probabilities(cloaked(others, painted, eye, full))
        shifts = {f"view_shift_top{top}": float((ranks(now, column) > top).float().mean()) for top in (1, 3)}
        lost = plain.clamp_min(1e-4).log() - now[:, column].clamp_min(1e-4).log()
        tried[style.name] = {figure: found[figure] for figure in RULES.values()} | shifts
        tried[style.name]["log_probability_lost"] = float(lost.mean())
        print(name, style.name, {key: round(value, 2) for key, value in tried[style.name].items()}, flush=True)
        return found[RULES["tried"]]

    place = centroid([look.place for look in looks[:MOST_PICTURES]])
    return choose(protector.catalogue, place, seed=seed, trial=trial).style.name, tried


def pairs(styles: list[torch.Tensor]) -> list[Row]:
    """Median change from one picture to another."""
    owners = torch.repeat_interleave(torch.arange(len(styles)), torch.tensor([len(rows) for rows in styles]))
    every = torch.cat(styles)
    i, j = torch.triu_indices(len(every), len(every), 1)
    changes, same = style_change(every[i], every[j]), owners[i] == owners[j]
    return [
        Row("style_change", float(changes[which].median()), int(which.sum()), recipe=recipe)
        for recipe, which in (("one artist", same), ("different artists", ~same))
    ]


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    protector = Protector(Settings(models=("mini",), resolutions=(128,), seed=args.seed))
    rows: list[Row] = []
    totals: Totals = {}
    eye, styles = protector.style_model, []
    for artist in (*UNKNOWN, *KNOWN, *MORE):
        name = Path(artist).name
        paths = sorted((args.art / artist).glob("*.jpg"))
        judge = judges.fit({name: paths[::2]} if artist in UNKNOWN else {})
        looks = [protector.look(read(path)) for path in paths[1::2][: MOST_PICTURES + args.each]]
        styles.append(seen([look.square for look in looks], eye))
        kept, tried = measured(protector, judge, name, looks, styles[-1], args.seed)
        about = {"artist": name, "seed": args.seed}
        rules = {recipe: max(tried, key=lambda style: tried[style][key]) for recipe, key in RULES.items()}
        rules["tried"] = kept
        for recipe, key in RULES.items():
            pair = (np.array([f[figure] for f in tried.values()]) for figure in (key, "log_probability_lost"))
            rows.append(Row("rank_correlation", spearman(*pair), len(tried), recipe=recipe, **about))
            totals.setdefault(("rank_correlation", recipe), []).append(rows[-1].value)
        for figure in ("view_shift_top1", "view_shift_top3", "log_probability_lost"):
            values = {style: f[figure] for style, f in tried.items()}
            found = {recipe: values[style] for recipe, style in rules.items()}
            found |= {"drawn": sum(values.values()) / len(values), "best": max(values.values())}
            for recipe, value in found.items():
                rows.append(Row(figure, value, len(looks) - MOST_PICTURES, recipe=recipe, **about))
                totals.setdefault((figure, recipe), []).append(value)
            for recipe in RULES:
                totals.setdefault((figure, f"{recipe} less drawn"), []).append(found[recipe] - found["drawn"])
    rows += [*means(totals, args.seed), *pairs(styles)]
    settings = {"pictures": args.each, "budget": SETTINGS.budget, "cast": SETTINGS.cast}
    Result("trials", __version__, args.seed, "cpu", settings, protector.weights(), rows).save(args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/cloaks/trials.json"))
    parser.add_argument("--each", type=int, default=6, help="pictures an artist")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args())
