"""Files larger than the working resolution: what is left of a cloak once it is bounded as it is seen there, enlarged.

    python benchmarks/closer.py ../shared/art -o results/cloaks/closer.json

Three middle squares each of Van Gogh and David Revoy, as PNG files of twice the working resolution, through
``velatura protect``'s own code, which scales each cloak until the file keeps the LPIPS budget, whole and enlarged.
``recipe``: ``as published`` looks at the working size only while it optimises; ``enlarged`` looks at the picture at the
file's size and around it; ``product`` does so with smaller steps, mostly where the picture is busy
(``protect.settings.for_larger_files``, chosen on three pictures of the tuning artists), all of these from nothing;
``product, at once`` begins from the instant cloak. Noise has the same bound.

``lpips``: whole, at the working size. ``lpips_enlarged``: at the file's. ``lpips_held_out``: at three times the working
size, which no recipe looks at and nothing bounds. Means with 95 % t-intervals.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch.nn.functional as F
from cloaks import square
from torch import Tensor

from velatura import __version__
from velatura.cloaks import NoiseSettings, glaze, noise
from velatura.evaluation.arms import Arm, colour_bound
from velatura.images import Artwork, read
from velatura.images.resample import tensor
from velatura.perception.lpips import lpips
from velatura.protect import EFFORTS, Protector, Settings
from velatura.protect.figures import views, visible
from velatura.protect.protector import png
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval
from velatura.styles.choose import Choice

ARTISTS = ("paintings/vincent-van-gogh", "modern/david-revoy")
RECIPES = ("noise", "as published", "enlarged", "product", "product, at once")
HELD_OUT = 3


def delta_of(protector: Protector, recipe: str, original: Tensor, target: Tensor, near: Tensor | None) -> Tensor:
    if recipe == "noise":
        return noise(original, settings=NoiseSettings(protector.settings.budget, 0)).delta
    if recipe == "enlarged":
        plain = protector.settings.cloak()
        return glaze(original, target, extractors=protector.extractors, settings=plain, detail=near).delta
    detail = None if recipe == "as published" else near
    return protector.cloak(original, target, detail=detail, at_once=recipe == "product, at once")


def measured(protector: Protector, recipe: str, artwork: Artwork, picture: Tensor, choice: Choice) -> dict[str, float]:
    original, budget = protector.working(artwork), protector.settings.budget
    target = protector.paint(original, choice)
    delta = delta_of(protector, recipe, original, target, protector.detail(artwork))
    data, file, _, scale = protector.fit(artwork, original, delta)
    saved = protector.working(file)
    whole = tensor(file.image)
    size = HELD_OUT * protector.settings.working
    larger = [F.interpolate(x, (size, size), mode="bicubic", antialias=True).clamp(0, 1) for x in (picture, whole)]
    seen = views(protector.extractors, original, saved, target, budget, 0)[0].figures
    return {
        "lpips": float(lpips(original, saved)),
        "lpips_enlarged": float(lpips(picture, whole)),
        "lpips_held_out": float(lpips(*larger)),
        "delta_scale": scale,
        "bytes": float(len(data)),
        **{key: seen[key] for key in ("latent_remaining", "decoded_shift", "view_change")},
        **visible(original, saved),
    }


def run(args: argparse.Namespace) -> None:
    cast = colour_bound(Arm("velatura", args.budget), args.side)
    settings = Settings(budget=args.budget, cast=cast, models=("mini",), resolutions=(args.side,), seed=args.seed)
    protector = Protector(settings)
    found: dict[str, list[dict[str, float]]] = {recipe: [] for recipe in RECIPES}
    targets = {}
    for artist in ARTISTS:
        paths = [path for path in sorted((args.art / artist).glob("*.jpg")) if large(path, 2 * args.side)]
        paths = [paths[(2 * i + 1) * len(paths) // (2 * args.each)] for i in range(args.each)]
        pictures = [square(path, 2 * args.side) for path in paths]
        artworks = [read(png(picture)) for picture in pictures]
        choice = protector.choose([protector.look(artwork) for artwork in artworks])
        targets[artist] = choice.style.name
        for artwork, picture in zip(artworks, pictures, strict=True):
            for recipe in RECIPES:
                found[recipe].append(measured(protector, recipe, artwork, picture, choice))
    rows = []
    for recipe, figures in found.items():
        for metric in figures[0]:
            value, low, high = mean_interval([f[metric] for f in figures])
            arm = "noise" if recipe == "noise" else "cloaked"
            rows.append(
                Row(metric, value, len(figures), low, high, arm=arm, cloak=None if arm == "noise" else "velatura",
                    budget=args.budget, recipe=recipe, seed=args.seed)
            )  # fmt: skip
            print(f"{recipe:14} {metric:18} {value:.3f} ({low:.3f} to {high:.3f})", flush=True)
    about = {
        "side": args.side,
        "file": 2 * args.side,
        "held_out": HELD_OUT * args.side,
        "cast": cast,
        "targets": targets,
        "gamma_start": EFFORTS["default"].gamma_start,
    }
    Result("closer", __version__, args.seed, "cpu", about, protector.weights(), rows, []).save(args.output)


def large(path: Path, side: int) -> bool:
    artwork = read(path)
    return min(artwork.width, artwork.height) >= side


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/cloaks/closer.json"))
    parser.add_argument("--side", type=int, default=192, help="working resolution, px")
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--each", type=int, default=3, help="pictures an artist")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args())
