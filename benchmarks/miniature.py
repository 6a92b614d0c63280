"""What the miniature Stable Diffusion can do, for its card: known styles on demand, and what it remembers.

    python benchmarks/miniature.py ../shared/art      # results/miniature.json, docs/images/miniature.png

For each artist that it was trained on and that the style judge knows: the prompts of ``SUBJECTS``, each as often as
``--each``. ``style_top1|top3``: how many of these pictures the judge places in the artist's style.

Memorisation: LPIPS (AlexNet) of each generated picture to the nearest training picture (at 128 px: the start, middle
and end square of each, also mirrored), beside the same for real pictures of held-out artists, which cannot be
remembered, and ``copy_rate`` (judges/copies.py) of both.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from velatura import __version__, judges, weights
from velatura.diffusion import pipeline as models
from velatura.images import read, save, working
from velatura.judges.copies import squares
from velatura.judges.style import ranks
from velatura.judges.views import square
from velatura.mimicry.captions import with_artist
from velatura.mimicry.generate import Made, generate, usual_guidance
from velatura.mimicry.pictures import contact_sheet, to_png
from velatura.perception.lpips import load as load_lpips
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval, wilson

HELD_OUT = ("paintings/vincent-van-gogh", "paintings/kate-greenaway", "paintings/ivan-aivazovsky", "modern/david-revoy")
SUBJECTS = ("a portrait of a woman", "an old man", "a landscape", "a ship", "a dog", "two children")


def main(args: argparse.Namespace) -> None:
    pipeline = models.load("mini")
    judge = judges.fit({})
    rows: list[Row] = []
    made: dict[str, list[Made]] = {}
    names = captioned(args.art)
    for artist in judge.classes:
        prompts = [with_artist(subject, names[artist]) for subject in SUBJECTS for _ in range(args.each)]
        made[artist] = list(generate(pipeline, prompts, seed=args.seed, batch=24))
        place = ranks(judge.probabilities(torch.cat([m.picture for m in made[artist]])), judge.index(artist))
        for top in (1, 3):
            count = int((place <= top).sum())
            low, high = wilson(count, len(place))
            rows.append(Row(f"style_top{top}", count / len(place), len(place), low, high, artist, "base"))
        print(artist, f"{rows[-2].value:.2f} {rows[-1].value:.2f}", flush=True)
    for metric in ("style_top1", "style_top3"):
        values = [row.value for row in rows if row.metric == metric]
        rows.append(Row(metric, sum(values) / len(values), len(values), arm="base", recipe="mean of artists"))
    training = [working(read(path), 128) for path in trained_on(args.art)]
    held = [
        square(working(read(path), 128)) for artist in HELD_OUT for path in sorted((args.art / artist).glob("*.jpg"))
    ]
    generated = torch.cat([one.picture for part in made.values() for one in part])
    for arm, pictures in (("base", generated), ("real", torch.cat(held))):
        mean, low, high = mean_interval(nearest(pictures, training).tolist())
        rows.append(Row("nearest_lpips", mean, len(pictures), low, high, arm=arm))
        copies = judges.copy_rate(pictures, training)
        low, high = wilson(copies.copied, len(pictures))
        rows.append(Row("copy_rate", copies.rate, len(pictures), low, high, arm=arm))
        print(rows[-2], rows[-1], flush=True)
    folder = weights.require_pipeline("mini")
    digests = {part: weights.sha256(folder / part) for part in ("vae", "unet", "text_encoder/model.safetensors")}
    settings = {"subjects": SUBJECTS, "each": args.each, "sampling_steps": 30, "guidance": usual_guidance(pipeline)}
    Result("miniature", __version__, args.seed, "cpu", settings, digests, rows).save(args.output)
    save(sheet(made, args.each), args.sheet)


def captioned(art: Path) -> dict[str, str]:
    """The name that stands in an artist's captions, by folder."""
    with (art / "MANIFEST.csv").open(encoding="utf-8") as file:
        return {Path(row["path"]).parent.name: row["artist"].lower() for row in csv.DictReader(file)}


def trained_on(art: Path) -> list[Path]:
    return [
        path for path in sorted(art.glob("**/*.jpg"))
        if not any(Path(name).name in (path.parent.name, path.name[: len(Path(name).name)]) for name in HELD_OUT)
    ]  # fmt: skip


@torch.no_grad()
def nearest(pictures: Tensor, training: Sequence[Tensor]) -> Tensor:
    """LPIPS of each picture ``(B, 3, 128, 128)`` to the nearest square of the training pictures: ``(B,)``."""
    ours, found = points(pictures), torch.full((len(pictures),), float("inf"))
    for picture in training:
        cuts = torch.cat(list(squares(picture)))
        theirs = points(torch.cat([cuts, cuts.flip(-1)]))
        squared = ours.pow(2).sum(1)[:, None] + theirs.pow(2).sum(1) - 2 * ours @ theirs.T
        found = torch.minimum(found, squared.amin(1))
    return found


def points(pictures: Tensor) -> Tensor:
    """LPIPS as geometry: ``(B, n)`` whose squared Euclidean distances it is (its heads are weights >= 0)."""
    network = load_lpips("alex")
    rows = []
    for part in torch.split(pictures, 32):
        scaled = [
            x * (head.clamp_min(0) / (x.shape[-1] * x.shape[-2])).sqrt()
            for x, head in zip(network.features(part), network.heads, strict=True)
        ]
        rows.append(torch.cat([x.flatten(1) for x in scaled], 1))
    return torch.cat(rows)


def sheet(made: dict[str, list[Made]], each: int) -> bytes:
    """48 of the pictures, evenly picked from one of each subject and artist."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for artist, pictures in made.items():
            for one in pictures[::each]:
                paths.append(Path(folder) / f"{artist}-{one.index:04}.png")
                paths[-1].write_bytes(to_png(one))
        return contact_sheet(paths, columns=2 * len(SUBJECTS), cell=96)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/miniature.json"))
    parser.add_argument("--sheet", type=Path, default=Path("docs/images/miniature.png"))
    parser.add_argument("--each", type=int, default=4, help="pictures for each prompt")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
