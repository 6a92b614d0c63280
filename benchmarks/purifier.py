"""Does the learned purifier beat the hand-made ones? On artists of whom it has seen nothing.

    python benchmarks/pairs.py ../shared/art runs/pairs
    velatura lab purify train runs/pairs/learn/cloaked runs/pairs/learn/clean -o runs/purifier.safetensors -r 128
    python benchmarks/purifier.py runs/pairs/test runs/purifier.safetensors -o results/purifier.json

How it was trained stands in the result (``settings.purifier``).

Each countermeasure that is meant to give back the clean picture (none that moves it or adds to it), on cloaked
pictures: PSNR and LPIPS to the clean original, and ``latent_left``, ‖Φ(purified) − Φ(x)‖² / ‖Φ(cloaked) − Φ(x)‖²: what
is left of the cloak where it works, 1 being all of it. On clean pictures: PSNR, what it costs where there is nothing
to undo. ``learned_*``: how much better the learned one is, picture by picture. Means with 95 % t-intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from velatura import __version__, weights
from velatura.countermeasures import COUNTERMEASURES
from velatura.countermeasures.pairs import in_folder, opened
from velatura.countermeasures.purifier import load
from velatura.countermeasures.treatment import Treatment, prepare
from velatura.diffusion import extractors
from velatura.perception.lpips import lpips
from velatura.perception.pixels import psnr
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval

SIDE, BUDGET = 128, 0.1
LEFT_OUT = ["noise", "upscale", "diffuse"]  # what adds to the picture, and is measured by the tables of robustness
AS_IT_CAME = "none"


def attacks(purifier: Path, without: Sequence[str]) -> list[Treatment]:
    left_out = [*LEFT_OUT, *without]
    names = [name for name, row in COUNTERMEASURES.items() if not row.moves and name not in left_out]
    return [
        prepare(name, model=str(purifier) if COUNTERMEASURES[name].needs == "purifier" else "mini") for name in names
    ]


def run(folder: Path, purifier: Path, output: Path, without: Sequence[str]) -> None:
    eye = extractors.load("mini")
    pairs = list(opened(in_folder(folder), SIDE).values())
    phis = [phi(eye, clean) for _, clean in pairs]
    starts = [float((phi(eye, cloaked) - own).pow(2).sum()) for (cloaked, _), own in zip(pairs, phis, strict=True)]
    found: dict[tuple[str, str, str], list[float]] = {}
    digests = {"mini": eye.sha256, "lpips-alex": weights.sha256(weights.embedded("lpips-alex"))}
    for attack in (None, *attacks(purifier, without)):
        name = AS_IT_CAME if attack is None else attack.name
        digests |= {} if attack is None else attack.weights
        for i, (cloaked, clean) in enumerate(pairs):
            purified = cloaked if attack is None else attack(cloaked, shift=i)
            left = float((phi(eye, purified) - phis[i]).pow(2).sum()) / starts[i]
            figures = {"psnr_to_clean": float(psnr(clean, purified)), "lpips_to_clean": float(lpips(clean, purified))}
            for metric, value in (figures | {"latent_left": left}).items():
                found.setdefault(("cloaked", name, metric), []).append(value)
            if attack is not None and name != "impress":  # which takes minutes, and would be no different
                harm = min(60.0, float(psnr(clean, attack(clean, shift=i))))
                found.setdefault(("clean", name, "psnr_to_clean"), []).append(harm)
        shown = {key[2]: round(sum(v) / len(v), 3) for key, v in found.items() if key[:2] == ("cloaked", name)}
        print(name, shown, flush=True)
    settings = {
        "pairs": len(pairs),
        "artists": sorted({pair.artist for pair in in_folder(folder)}),
        "side": SIDE,
        "purifier": load(purifier).facts,
    }
    flags = [
        "measured on the miniature, a scale model",
        *(f"{name}: not measured, left out by --without" for name in without),
    ]
    Result("purifier", __version__, 0, "cpu", settings, digests, rows(found), flags).save(output)


@torch.no_grad()
def phi(eye: extractors.Extractor, picture: Tensor) -> Tensor:
    height, width = (side - side % eye.downscale for side in picture.shape[-2:])
    return eye.encode(picture[..., :height, :width])


def rows(found: dict[tuple[str, str, str], list[float]]) -> list[Row]:
    made = [row(metric, values, arm, name) for (arm, name, metric), values in found.items()]
    for (arm, name, metric), values in found.items():
        if arm == "cloaked" and name != "learned":
            sign = 1 if metric == "psnr_to_clean" else -1
            better = [sign * (a - b) for a, b in zip(found[arm, "learned", metric], values, strict=True)]
            made.append(row(f"learned_{metric}", better, arm, name))
    return made


def row(metric: str, values: Sequence[float], arm: str, name: str) -> Row:
    mean, low, high = mean_interval(values)
    cloak = ("velatura", BUDGET) if arm == "cloaked" else (None, None)
    return Row(metric, mean, len(values), low, high, arm=arm, cloak=cloak[0], budget=cloak[1], countermeasure=name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="runs/pairs/test")
    parser.add_argument("purifier", type=Path, help="runs/purifier.safetensors")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/purifier.json"))
    parser.add_argument("--without", nargs="*", default=[], help="countermeasures to leave out, as slow ones: impress")
    args = parser.parse_args()
    run(args.pairs, args.purifier, args.output, args.without)
