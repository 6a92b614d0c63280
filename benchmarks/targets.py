"""Is a target style far enough? How far a cloak can get at most, and which rule finds styles that take it far.

    python benchmarks/targets.py ../shared/art -o results/cloaks/targets.json

No cloak gets farther than its target: if pictures painted in T, Ω(x, T), are still taken for the artist's, a perfect
cloak would not help. ``ceiling_top1|top3``: share of such pictures that the style judge does not place in the artist's
style. For some pictures of artists that may be tuned on (Kate Greenaway, Ivan Aivazovsky, whose other pictures teach
the judge) and of some that the judge knows from the start, and for ``--styles`` styles drawn from the whole catalogue.

Rank correlation of the ceiling, over styles, with the two figures that rules can use: ``distance`` in the style space
(Glaze's), ``alike`` (cosine of the style vectors, less is better). Then the mean ceiling of the styles that each rule
draws from: Glaze's band, ours (``styles.choose``), all of them.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from velatura import __version__, judges
from velatura.images import read, working
from velatura.judges.style import StyleJudge, ranks
from velatura.judges.views import square
from velatura.protect import Protector, Settings
from velatura.reports.prediction import spearman
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval
from velatura.styles import transfer
from velatura.styles.choose import BAND, Choice, alike, centroid, choose

UNKNOWN = ("paintings/kate-greenaway", "paintings/ivan-aivazovsky")
KNOWN = ("paintings/randolph-caldecott", "paintings/paul-cezanne", "paintings/howard-pyle", "paintings/rembrandt")


def ceilings(own: Tensor, vector: list[float], judge: StyleJudge, artist: str) -> dict[str, float]:
    """Shares of the pictures ``(B, 3, 128, 128)`` that have left the artist's style once they are painted anew."""
    painted = torch.cat([transfer.paint(x[None], torch.tensor([vector])) for x in own])
    place = ranks(judge.probabilities(painted), judge.index(artist))
    return {f"ceiling_top{top}": float((place > top).float().mean()) for top in (1, 3)}


def drawn_from(choice: Choice) -> list[str]:
    return [style for style, _, _, candidate in choice.ranking if candidate]


Totals = dict[tuple[str, str], list[float]]  # by metric and recipe, a value an artist


def means(totals: Totals, seed: int) -> list[Row]:
    """Over artists, with intervals."""
    rows = []
    for (metric, recipe), values in totals.items():
        mean, low, high = mean_interval(values)
        rows.append(Row(metric, mean, len(values), low, high, recipe=recipe, seed=seed))
        print(metric, recipe, round(mean, 2), round(low, 2), round(high, 2), flush=True)
    return rows


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    protector = Protector(Settings(models=("mini",), resolutions=(128,), seed=args.seed))
    sample = random.Random(args.seed).sample(protector.catalogue.styles, args.styles)
    rows: list[Row] = []
    totals: Totals = {}
    for artist in (*UNKNOWN, *KNOWN):
        name = Path(artist).name
        paths = sorted((args.art / artist).glob("*.jpg"))
        judge = judges.fit({name: paths[::2]} if artist in UNKNOWN else {})
        chosen = paths[1::2][: args.each]
        own = torch.cat([square(working(read(path), 128)) for path in chosen])
        place = centroid([protector.look(read(path)).place for path in chosen])
        vector = place[len(protector.catalogue.numbers) :]
        rules = {
            "Glaze's band": drawn_from(choose(protector.catalogue, place, band=BAND)),
            "ours": drawn_from(choose(protector.catalogue, place)),
            "any style": [style.name for style in sample],
        }
        found = {}
        for style in sample:
            if style.name == name:
                continue
            found[style.name] = ceilings(own, style.vector, judge, name) | {
                "distance": protector.catalogue.distance(place, style.centroid),
                "alike": alike(style.vector, vector),
            }
            print(name, style.name, {key: round(value, 2) for key, value in found[style.name].items()}, flush=True)
        about = {"artist": name, "seed": args.seed}
        for figure in ("distance", "alike"):
            pair = (np.array([f[key] for f in found.values()]) for key in (figure, "ceiling_top3"))
            rows.append(Row("rank_correlation", spearman(*pair), len(found), recipe=figure, **about))
        for rule, names in rules.items():
            for metric in ("ceiling_top1", "ceiling_top3"):
                values = [f[metric] for style, f in found.items() if style in names]
                if values:
                    rows.append(Row(metric, sum(values) / len(values), len(values), recipe=rule, **about))
                    totals.setdefault((metric, rule), []).append(rows[-1].value)
    rows += means(totals, args.seed)
    settings = {"styles": [style.name for style in sample], "pictures": args.each}
    Result("targets", __version__, args.seed, "cpu", settings, protector.weights(), rows).save(args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/cloaks/targets.json"))
    parser.add_argument("--each", type=int, default=5, help="pictures an artist")
    parser.add_argument("--styles", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args())
