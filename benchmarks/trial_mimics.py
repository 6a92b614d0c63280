"""Which figure of a trial finds the target style that misleads a mimic most?

    velatura evaluate ../shared/art/paintings/kate-greenaway --training 14 -n 4 -o runs/mimicry/kate-greenaway \\
        --artist "kate greenaway" --arm base --arm clean --arm noise:0.1 --arm "velatura:0.1 towards caravaggio" ...
    python benchmarks/trial_mimics.py ../shared/art results/evaluation/targets-kate-greenaway.json \\
        results/evaluation/targets-ivan-aivazovsky.json

The experiments say what the mimic of each artist does with cloaks towards several styles of those that
``styles.choose`` may draw. This cloaks ``--each`` of the training pictures towards each as ``protect.trial`` does, and
looks at what the miniature sees of the pictures (x), of their cloaks (a) and of the painted targets (t), and of all of
the artist's training pictures, whose mean style is home (o):

- ``change``: ``style_change`` of the mean styles of x and a: what the trial kept the greatest of, once;
- ``painted``: ``style_change`` of the mean styles of x and t: the most that a cloak could do;
- ``share``: 1 - ``style_change`` (a, t) / ``style_change`` (x, t): how much of the way it gets, in style;
- ``latent``: 1 - |Φ(a) - Φ(t)|² / |Φ(x) - Φ(t)|²: how much of the way, in the space where cloaks are optimised;
- ``alike``: 1 - LPIPS(a, t) / LPIPS(x, t) of the views, by AlexNet: decoded shift without VGG16, which is the judges';
- ``change x latent``;
- ``cloak from home``, ``target from home``: mean ``style_change`` of o and each a, or each t. The first is what the
  trial keeps the greatest of; ``strayed``, their sum, what it kept for a while.

``rank_correlation`` (Spearman, over an artist's styles) with the mimic's style shift, the mean of top 1 and top 3, and,
for comparison, of that with figures of the experiments themselves (``as judged: ...``), which no trial may look at;
``style_shift`` of the style that each figure keeps (``best``: of the best one, ``drawn``: the mean of all).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from velatura import __version__
from velatura.diffusion.extractors import Extractor
from velatura.images import read
from velatura.perception.lpips import lpips
from velatura.perception.style import style, style_change
from velatura.protect import Protector, Settings
from velatura.protect.trial import MOST_PICTURES, SETTINGS, cloaked, from_home, seen, small
from velatura.reports.prediction import spearman
from velatura.reports.result import Result, Row, load
from velatura.styles import transfer
from velatura.styles.catalogue import slug

JUDGED = ("view_shift_top3", "decoded_shift", "style_move")


@torch.no_grad()
def figures(x: Tensor, a: Tensor, t: Tensor, own: Tensor, eye: Extractor) -> dict[str, float]:
    """Of pictures, their cloaks and their painted targets, all ``(B, 3, 128, 128)``, and the artist's styles."""
    before, after, aim = (eye.view(pictures) for pictures in (x, a, t))
    style_x, style_a, style_t = (style(view) for view in (before, after, aim))
    mean_x, mean_a, mean_t = (rows.mean(0, keepdim=True) for rows in (style_x, style_a, style_t))
    z_x, z_a, z_t = (eye.encode(pictures) for pictures in (x, a, t))
    change, painted = float(style_change(mean_x, mean_a)), float(style_change(mean_x, mean_t))
    latent = 1 - float((z_a - z_t).square().mean() / (z_x - z_t).square().mean())
    far = [from_home(own, rows) for rows in (style_a, style_t)]
    return {
        "change": change,
        "painted": painted,
        "share": 1 - float(style_change(mean_a, mean_t)) / painted,
        "latent": latent,
        "alike": float((1 - lpips(after, aim) / lpips(before, aim)).mean()),
        "change x latent": change * latent,
        "cloak from home": far[0],
        "target from home": far[1],
        "strayed": sum(far),
    }


def by_style(result: Result, *metrics: str) -> dict[str, float]:
    """Mean of these metrics of an experiment, by the T of the arm."""
    found: dict[str, list[float]] = {}
    for row in result.rows:
        if row.metric in metrics and " towards " in (row.cloak or ""):
            found.setdefault(str(row.cloak).partition(" towards ")[2], []).append(row.value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    protector = Protector(Settings(models=("mini",), resolutions=(128,)))
    eye = protector.style_model
    rows: list[Row] = []
    for path in args.results:
        result = load(path)
        artist = result.settings["artist"]
        folder = next(args.art.glob(f"*/{slug(artist)}"))
        squares = [small(read(folder / name)) for name in result.settings["training"]]
        x, own = torch.cat(squares[: args.each]), seen(squares, eye)
        mimics = by_style(result, "style_shift_top1", "style_shift_top3")
        judged = {metric: by_style(result, metric) for metric in JUDGED}
        tried = {}
        for name in mimics:
            vector = protector.catalogue.find(name).vector
            painted = transfer.paint(x, torch.tensor([vector]))
            tried[name] = figures(x, cloaked(x, painted, eye, SETTINGS), painted, own, eye)
            print(artist, name, f"{mimics[name]:.2f}", {k: round(v, 3) for k, v in tried[name].items()}, flush=True)
            tried[name] |= {f"as judged: {metric}": found[name] for metric, found in judged.items()}
        shift = np.array(list(mimics.values()))
        about = {"artist": artist}
        kept = {"best": float(shift.max()), "drawn": float(shift.mean())}
        for key in next(iter(tried.values())):
            values = np.array([found[key] for found in tried.values()])
            rows.append(Row("rank_correlation", spearman(values, shift), len(shift), recipe=key, **about))
            kept[key] = float(shift[values.argmax()])
        for key, value in kept.items():
            rows.append(Row("style_shift", value, len(shift), recipe=key, **about))
    settings = {"pictures": args.each, "results": [path.name for path in args.results]}
    Result("trial-mimics", __version__, 0, "cpu", settings, protector.weights(), rows).save(args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("results", type=Path, nargs="+", help="of velatura evaluate, with arms that name their T")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/cloaks/trial-mimics.json"))
    parser.add_argument("--each", type=int, default=MOST_PICTURES, help="pictures an artist")
    run(parser.parse_args())
