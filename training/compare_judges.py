"""Would another judge know a victim better? Each embedded artist in turn as the victim, for several judges.

    python training/compare_judges.py ../shared/art

The judge's card says how well it knows artists whose pictures had a part in its coordinates. A victim's have none, and
a dozen of them are all that it learns from. So here each embedded artist with sixteen pictures or more is left out of
the coordinates and joins as victims do, by ten pictures; asked are the artist's other pictures, and a fifth of
everybody else's, which had no part either. A judge that is merely more generous finds more of the victim's pictures
and takes more of others' for them: the areas under the ROC curves (of the margin to the first, and to the third of the
other artists) tell that from a better one. Two views a picture instead of the judge's six. No reported artist has a
part in it.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from fit_judge import artists_of
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from velatura import __version__, weights
from velatura.diffusion import extractors
from velatura.images import read, working
from velatura.judges import embedded, vgg, views
from velatura.judges.style import ranks, regress
from velatura.perception import correlations
from velatura.perception.lpips import load
from velatura.reports.result import Result, Row
from velatura.reports.statistics import wilson

VIEWS = (views.VIEWS[0], views.VIEWS[4])  # plain, and as a weak generator would decode it
LEARNED, FEWEST = 10, 16
Fit = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def discriminant(shrinkage: float) -> Fit:
    """Linear discriminant analysis; the covariance within artists shrunk towards a multiple of the unit matrix."""

    def fit(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        size = features.shape[2]
        means = torch.stack([features[labels == c].flatten(0, 1).mean(0) for c in range(int(labels.max()) + 1)])
        rest = (features - means[labels][:, None]).flatten(0, 1)
        share = (1 / labels.bincount())[labels].repeat_interleave(features.shape[1])
        within = rest.T @ (rest * (share / share.sum())[:, None])
        within = (1 - shrinkage) * within + shrinkage * within.trace() / size * torch.eye(size)
        weight = torch.linalg.solve(within, means.T)
        return weight, -(means * weight.T).sum(1) / 2

    return fit


def logistic(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return regress(features, labels, embedded.load().strength)


# What each looks at ("vgg", or AlexNet's correlations besides), how many components of it, and how it decides.
JUDGES: dict[str, tuple[str, int, Fit]] = {
    "the judge": ("vgg", 256, logistic),
    "600 components": ("vgg", 600, logistic),
    "AlexNet's correlations besides": ("both", 256, logistic),
    "discriminant analysis, shrinkage 0.2": ("vgg", 256, discriminant(0.2)),
    "discriminant analysis, shrinkage 0.4": ("vgg", 256, discriminant(0.4)),
    "discriminant analysis, shrinkage 0.7": ("vgg", 256, discriminant(0.7)),
}


@dataclass
class Asked:
    """A judge's log probabilities of one victim's pictures and of others', and the victim's column."""

    own: Tensor
    others: Tensor
    column: int

    def margins(self, top: int) -> tuple[Tensor, Tensor]:
        """How far the victim is ahead of the ``top``-th of the other artists: above 0, it is among the first."""
        found = []
        for rows in (self.own, self.others):
            rest = torch.cat([rows[:, : self.column], rows[:, self.column + 1 :]], 1)
            found.append(rows[:, self.column] - rest.topk(top, dim=1).values[:, -1])
        return found[0], found[1]


def look(path: Path, seed: int, extractor: extractors.Extractor, cache: Path) -> dict[str, Tensor]:
    """VGG16's and AlexNet's correlations in the views of a picture, ``(V, F)``."""
    file = cache / f"{path.parent.name}--{path.stem}.safetensors"
    if not file.exists():
        seen = views.look(working(read(path), views.SIDE), extractor, VIEWS, seed)
        with torch.no_grad():
            alex = [correlations.correlations(x) for x in load("alex").activations(seen)]
        temporary = file.with_suffix(".tmp")
        save_file({"vgg": vgg.correlations(seen).half(), "alex": torch.cat(alex, 1).half()}, temporary)
        temporary.rename(file)
    return {name: tensor.float() for name, tensor in load_file(file).items()}


def ask(numbers: dict[str, Tensor], labels: Tensor, victim: int, draw: torch.Generator) -> dict[str, Asked]:
    """Every judge on one victim."""
    own, rest = ((labels == victim).nonzero().flatten(), (labels != victim).nonzero().flatten())
    own, rest = (rows[torch.randperm(len(rows), generator=draw)] for rows in (own, rest))
    known, others = rest[len(rest) // 5 :], rest[: len(rest) // 5]
    taught = torch.cat([known, own[:LEARNED]])
    found, spaces = {}, {}
    for name, (kind, size, fit) in JUDGES.items():
        if (kind, size) not in spaces:
            space = embedded.Space.of(numbers[kind][known].flatten(0, 1), size)
            spaces[kind, size] = space.project(numbers[kind].flatten(0, 1)).view(len(labels), len(VIEWS), -1)
        places = spaces[kind, size]
        weight, bias = fit(places[taught], labels[taught])
        likely = (places[:, 0] @ weight + bias).log_softmax(1)
        found[name] = Asked(likely[own[LEARNED:]], likely[others], victim)
        right = ranks(likely[others].exp(), labels[others])
        print(f"{name:40} others right {(right == 1).float().mean():.3f} {(right <= 3).float().mean():.3f}")
    return found


def rows_of(name: str, asked: list[Asked]) -> list[Row]:
    rows = []
    for top in (1, 3):
        own, others = (torch.cat(part) for part in zip(*(one.margins(top) for one in asked), strict=True))
        for metric, margins in (("victim_found", own), ("others_taken", others)):
            count, n = int((margins > 0).sum()), len(margins)
            rows.append(Row(f"{metric}_top{top}", count / n, n, *wilson(count, n), recipe=name))
        area = roc_auc_score([1] * len(own) + [0] * len(others), torch.cat([own, others]).numpy())
        rows.append(Row(f"roc_area_top{top}", float(area), len(own) + len(others), recipe=name))
    return rows


def main(args: argparse.Namespace) -> None:
    extractor = extractors.load("mini")
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (views, vgg, correlations))
    cache = args.cache / hashlib.sha256(code + extractor.sha256.encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    artists = artists_of(args.art)
    todo = [(label, path) for label, name in enumerate(sorted(artists)) for path in artists[name]]
    seen = [
        look(path, seed, extractor, cache)
        for seed, (_, path) in enumerate(tqdm(todo, unit="picture", disable=not sys.stderr.isatty()))
    ]
    numbers = {"vgg": torch.stack([row["vgg"] for row in seen])}
    numbers["both"] = torch.stack([torch.cat([row["vgg"], row["alex"]], 1) for row in seen])
    labels = torch.tensor([label for label, _ in todo])
    draw = torch.Generator().manual_seed(args.seed)
    victims = [label for label, count in enumerate(labels.bincount().tolist()) if count >= FEWEST]
    asked = [ask(numbers, labels, victim, draw) for victim in victims]
    rows = [row for name in JUDGES for row in rows_of(name, [one[name] for one in asked])]
    settings = {"victims": [sorted(artists)[v] for v in victims], "learned": LEARNED, "pictures": len(todo)}
    used = {name: weights.sha256(weights.embedded(name)) for name in ("mini", "lpips-vgg", "lpips-alex")}
    Result("judges", __version__, args.seed, "cpu", settings, used, rows).save(args.output)
    for row in rows:
        print(f"{row.recipe:40} {row.metric:18} {row.value:.3f}  n {row.n}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/judges.json"))
    parser.add_argument("--cache", type=Path, default=Path("runs/judges"), help="what was measured on each picture")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
