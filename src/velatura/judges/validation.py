"""How often the style judge is right, and how sure it may be: grouped cross-validation on real pictures.

Near-duplicates (states of a print, the same picture scanned twice) must not lie on both sides of a split. They are
found by the correlation of thumbnails, not by the distance of features: features are near for pictures of one style,
which is what the judge is to find, while a thumbnail is alike only where the composition is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.diffusion import extractors
from velatura.judges import embedded
from velatura.judges.style import OnPicture, join, ranks, regress
from velatura.judges.views import Pictures, opened, square

ALIKE = 0.9
FOLDS = 5
BINS = 10


@dataclass(frozen=True, eq=False)
class Scores:
    """Of one kind of picture, summed over all folds.

    ``top1`` and ``top3`` are counts of ``n``; ``ece`` the expected calibration error; ``log_loss`` in nats;
    ``confusion`` ``(C, C)`` counts, true artist by named one.
    """

    n: int
    top1: int
    top3: int
    ece: float
    log_loss: float
    confusion: Tensor


def cross_validate(
    victims: Mapping[str, Pictures] | None = None, *, device: str = "cpu", on_picture: OnPicture | None = None
) -> tuple[tuple[str, ...], Scores]:
    """Classes and scores of the judge of the embedded artists and ``victims`` on pictures that it has not seen."""
    known, victims = embedded.load(), victims or {}
    names, labels, features = join(known, victims, extractors.load("mini", device), on_picture)
    kept = torch.tensor([known.artists[label] not in victims for label in known.labels])
    groups = [known.groups[kept]]
    for pictures in victims.values():
        own = near_duplicates(thumbnails(torch.cat([square(p) for p in opened(pictures)])))
        groups.append(own + 1 + int(torch.cat(groups).max()))
    return names, folds(features, labels, torch.cat(groups), known.strength)["plain"]


def folds(
    features: Tensor,
    labels: Tensor,
    groups: Tensor,
    strength: float,
    trials: Mapping[str, Tensor] | None = None,
) -> dict[str, Scores]:
    """Scores of ``plain`` pictures (the first view) and of each of ``trials``, ``(N, K)`` of the same pictures.

    The judge of a fold learns from all views of the other folds' pictures.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    kinds = {"plain": features[:, 0], **(trials or {})}
    classes = int(labels.max()) + 1
    found = {kind: torch.zeros(len(labels), classes) for kind in kinds}
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in split.split(labels, labels, groups):
        weight, bias = regress(features[train], labels[train], strength)
        for kind, rows in kinds.items():
            found[kind][test] = (rows[test] @ weight + bias).softmax(1)
    return {kind: score(probabilities, labels) for kind, probabilities in found.items()}


def score(probabilities: Tensor, labels: Tensor) -> Scores:
    """Scores of ``(N, C)`` probabilities against the true classes ``(N,)``."""
    places = ranks(probabilities, labels)
    confidence, named = probabilities.max(1)
    confusion = torch.zeros(probabilities.shape[1], probabilities.shape[1], dtype=torch.int64)
    confusion.index_put_((labels, named), torch.ones_like(labels), accumulate=True)
    own = probabilities.gather(1, labels[:, None]).clamp_min(1e-12)
    return Scores(
        n=len(labels),
        top1=int((places == 1).sum()),
        top3=int((places <= 3).sum()),
        ece=calibration_error(confidence, named == labels),
        log_loss=float(-own.log().mean()),
        confusion=confusion,
    )


def calibration_error(confidence: Tensor, right: Tensor) -> float:
    """Mean distance of confidence and accuracy in ten bins of confidence (ECE; Guo et al., ICML 2017, eq. 3)."""
    bins = (confidence * BINS).long().clamp(0, BINS - 1)
    gaps = [(confidence[bins == b] - right[bins == b].float()).sum().abs() for b in range(BINS)]
    return float(torch.stack(gaps).sum() / len(confidence))


def thumbnails(squares: Tensor) -> Tensor:
    """``(N, 3, 128, 128)`` to ``(N, 256)``: 16 x 16 grey values, without their mean, of unit length."""
    grey = F.adaptive_avg_pool2d(squares.mean(1, keepdim=True), 16).flatten(1)
    return F.normalize(grey - grey.mean(1, keepdim=True), dim=1)


def near_duplicates(thumbnails: Tensor, alike: float = ALIKE) -> Tensor:
    """Group of each picture, ``(N,)`` int64: chains of thumbnails that correlate above ``alike``, also mirrored."""
    mirrored = thumbnails.view(-1, 16, 16).flip(-1).flatten(1)
    near = torch.maximum(thumbnails @ thumbnails.T, thumbnails @ mirrored.T) > alike
    groups = torch.arange(len(thumbnails))
    while True:  # each takes the smallest number among its neighbours until nothing changes
        smallest = torch.where(near | near.T | torch.eye(len(near), dtype=torch.bool), groups, len(groups)).amin(1)
        if torch.equal(smallest, groups):
            return groups
        groups = smallest
