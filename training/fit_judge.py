"""Make the style judge's embedded file from a folder of pictures, and measure the judge on them.

    python training/fit_judge.py ../shared/art

ART holds folders of pictures, one an artist, at any depth (``paintings/rembrandt``); the held-out artists and folders
below eight pictures are left out. Every picture is looked at once (views.py: six views to learn from, three trials to
measure on) and remembered in ``--cache`` under the digests of the autoencoder and of the code that looks, so that a
stopped run continues and a repeated one takes seconds. Then: principal components, groups of near-duplicates, the
regression's C by grouped cross-validation, the threshold for copies; writes the file, results/judge.json and the
figures of the card beside the file.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm
from train_autoencoder import HELD_OUT

from velatura import __version__, weights
from velatura.diffusion import extractors
from velatura.errors import ImageError
from velatura.images import read, save, working
from velatura.images.formats import SUFFIXES
from velatura.judges import copies, embedded, validation, vgg, views
from velatura.judges.style import FEWEST
from velatura.reports.result import Result, Row
from velatura.reports.statistics import wilson

OTHER = ("styles",)  # one picture an artist
COMPONENTS = 256
STRENGTHS = (0.1, 0.3, 1.0, 3.0)
QUANTILE = 0.01
OUT = Path(__file__).parents[1] / "src/velatura/data/judges/style.safetensors"


def artists_of(art: Path) -> dict[str, list[Path]]:
    """Pictures by artist, of every folder that has enough of them and may be trained on."""
    found = {}
    for folder in sorted(p for p in art.rglob("*") if p.is_dir() and p.name not in (*HELD_OUT, *OTHER)):
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        if len(paths) >= FEWEST:
            found[folder.name] = paths
    return found


def look(path: Path, seed: int, extractor: extractors.Extractor, cache: Path) -> dict[str, Tensor]:
    """All that is measured on one picture: correlations ``(V + T, 8064)``, thumbnail, layouts."""
    file = cache / f"{path.parent.name}--{path.stem}.safetensors"
    if not file.exists():
        picture = working(read(path), views.SIDE)
        seen = views.look(picture, extractor, [*views.VIEWS, *views.TRIALS.values()], seed)
        crops = torch.cat(list(copies.squares(picture)))
        found = {
            "correlations": vgg.correlations(seen).half(),
            "thumbnail": validation.thumbnails(views.square(picture)),
            "plain": copies.layout(views.square(picture)).half(),
            "trials": copies.layout(seen[len(views.VIEWS) :]).half(),
            "originals": copies.layout(torch.cat([crops, crops.flip(-1)])).half(),
        }
        temporary = file.with_suffix(".tmp")
        save_file(found, temporary)
        temporary.rename(file)
    return {name: tensor.float() for name, tensor in load_file(file).items()}


def version(extractor: extractors.Extractor) -> str:
    """Of everything that a measurement depends on."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (views, vgg, copies))
    return hashlib.sha256(code + extractor.sha256.encode()).hexdigest()[:16]


def copy_distances(seen: list[dict[str, Tensor]], labels: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Distances to the nearest other picture of the same artist ``(N,)``; of each trial to its own ``(N, T)``."""
    nearest, own = [], []
    for i, row in enumerate(seen):
        others = [seen[j]["originals"] for j in range(len(seen)) if labels[j] == labels[i] and groups[j] != groups[i]]
        nearest.append(copies.distances(row["plain"], torch.cat(others)).min())
        own.append(copies.distances(row["trials"], row["originals"]).amin(1))
    return torch.stack(nearest), torch.stack(own)


def rows_of(scores: dict[str, validation.Scores], names: tuple[str, ...]) -> list[Row]:
    """The figures of real pictures: all of them, changed ones, and by artist."""
    rows = []
    for kind, score in scores.items():
        where = None if kind == "plain" else kind
        for metric, count in (("style_top1", score.top1), ("style_top3", score.top3)):
            interval = wilson(count, score.n)
            rows.append(Row(metric, count / score.n, score.n, *interval, arm="real", countermeasure=where))
        balanced = float((score.confusion.diagonal() / score.confusion.sum(1)).mean())
        for metric, value in (("style_top1_balanced", balanced), ("ece", score.ece), ("log_loss", score.log_loss)):
            rows.append(Row(metric, value, score.n, arm="real", countermeasure=where))
    for i, name in enumerate(names):
        line = scores["plain"].confusion[i]
        n, right = int(line.sum()), int(line[i])
        rows.append(Row("style_top1", right / n, n, *wilson(right, n), artist=name, arm="real"))
    return rows


def confusions(score: validation.Scores, names: tuple[str, ...], most: int = 8) -> list[list[object]]:
    """The pairs most often taken for each other: true artist, named one, count."""
    table = score.confusion.clone().fill_diagonal_(0)
    top = table.flatten().topk(min(most, table.numel()))
    pairs = zip(top.values.tolist(), top.indices.tolist(), strict=True)
    return [[names[i // len(names)], names[i % len(names)], count] for count, i in pairs if count]


def card(path: Path, rows: list[Row], facts: list[str]) -> None:
    """Write the figures into the card, between its marks."""
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition("<!-- figures -->")
    lines = [
        "| pictures | first | first three | first, mean over artists | calibration error |",
        "|---|---|---|---|---|",
    ]
    for kind in (None, *views.TRIALS):
        found = {r.metric: r for r in rows if r.countermeasure == kind and r.artist is None}
        one, three = (
            f"{found[m].value:.0%} ({found[m].low:.0%}–{found[m].high:.0%})" for m in ("style_top1", "style_top3")
        )
        numbers = f"{found['style_top1_balanced'].value:.0%} | {found['ece'].value:.3f}"
        lines.append(f"| {kind or 'as they are'} | {one} | {three} | {numbers} |")
    body = "\n".join([*lines, "", *facts])
    _, _, tail = rest.partition("<!-- /figures -->")
    save(f"{head}<!-- figures -->\n{body}\n<!-- /figures -->{tail}".encode(), path)


def main(args: argparse.Namespace) -> None:
    extractor = extractors.load("mini")
    cache = args.cache / version(extractor)
    cache.mkdir(parents=True, exist_ok=True)
    seen, labels, kept = [], [], []
    artists = artists_of(args.art)
    names = tuple(sorted(artists))
    todo = [(name, path) for name in names for path in artists[name]]
    for seed, (name, path) in enumerate(tqdm(todo, unit="picture", disable=not sys.stderr.isatty())):
        try:
            seen.append(look(path, seed, extractor, cache))
        except ImageError as error:
            tqdm.write(f"left out: {error}")
            continue
        labels.append(names.index(name))
        kept.append(path)
    label = torch.tensor(labels)
    groups = validation.near_duplicates(torch.cat([row["thumbnail"] for row in seen]))
    sizes = Counter(groups.tolist())
    together = [
        [str(p.name) for p, g in zip(kept, groups, strict=True) if g == group] for group in sizes if sizes[group] > 1
    ]

    numbers = torch.stack([row["correlations"] for row in seen])
    count = len(views.VIEWS)
    space = embedded.Space.of(numbers[:, :count].flatten(0, 1), COMPONENTS)
    features = space.project(numbers[:, :count].flatten(0, 1)).view(len(seen), count, -1)
    trials = {kind: space.project(numbers[:, count + i]) for i, kind in enumerate(views.TRIALS)}
    tried = {c: validation.folds(features, label, groups, c, trials) for c in STRENGTHS}
    for c, scores in tried.items():
        print(
            f"C {c}: "
            + ", ".join(f"{k} {s.top1 / s.n:.3f} {s.top3 / s.n:.3f} ({s.log_loss:.3f})" for k, s in scores.items())
        )
    strength = min(tried, key=lambda c: sum(s.log_loss for s in tried[c].values()))

    nearest, own = copy_distances(seen, label, groups)
    threshold = float(nearest.quantile(QUANTILE))
    result = embedded.Embedded(space, names, label, groups, features, strength, threshold, extractor.sha256)
    save(result.save(), args.out)

    rows = rows_of(tried[strength], names)
    for i, kind in enumerate(views.TRIALS):
        hits = int((own[:, i] < threshold).sum())
        rows.append(
            Row("copies_found", hits / len(own), len(own), *wilson(hits, len(own)), arm="real", countermeasure=kind)
        )
    settings = {
        "artists": len(names),
        "pictures": len(kept),
        "views": count,
        "components": COMPONENTS,
        "strength": strength,
        "folds": validation.FOLDS,
        "groups": len(sizes),
        "near_duplicates": together,
        "copy_threshold": threshold,
        "copy_quantile": QUANTILE,
        "confusions": confusions(tried[strength]["plain"], names),
    }
    used = {name: weights.sha256(weights.embedded(name)) for name in ("mini", "lpips-vgg")}
    Result("judge", __version__, 0, "cpu", settings, used, rows).save(args.results)
    found = ", ".join(
        f"{kind} {float((own[:, i] < threshold).float().mean()):.0%}" for i, kind in enumerate(views.TRIALS)
    )
    facts = [
        f"{len(names)} artists, {len(kept)} pictures in {len(sizes)} groups of near-duplicates; C = {strength}.",
        f"Copies: threshold {threshold:.3f}; of changed copies it finds: {found}.",
        f"Autoencoder: sha256 `{extractor.sha256}`.",
    ]
    for row in rows[: 5 * (1 + len(trials))]:
        print(f"{row.metric:19} {row.countermeasure or 'plain':12} {row.value:.3f}  n {row.n}")
    print("\n".join([*facts, f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB"]))
    if (page := args.out.with_name("README.md")).is_file():
        card(page, rows, facts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="folders of pictures, one an artist")
    parser.add_argument("--out", type=Path, default=OUT, help="the judge's file")
    parser.add_argument("--results", type=Path, default=Path("results/judge.json"))
    parser.add_argument("--cache", type=Path, default=Path("runs/judge"), help="what was measured on each picture")
    main(parser.parse_args())
