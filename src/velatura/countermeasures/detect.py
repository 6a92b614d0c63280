"""Can a mimic find the cloaked pictures and drop them? Outlier detectors on what a picture and its Φ look like.

A detector learns from clean pictures, the trained one from cloaked pictures of other artists as well, and gives scores:
the higher, the more likely cloaked. ``reports.statistics.auc`` says how good the scores are.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from velatura.countermeasures.autoencoding import cut, padded
from velatura.diffusion.extractors import Extractor
from velatura.errors import InputError, MissingExtra
from velatura.images.contract import check_pictures
from velatura.perception.lpips import lpips

BANDS = 12
ALARMS = 0.1  # share of clean pictures that a mimic bears to lose with the cloaked ones
FEWEST = 8  # clean pictures, to know what is usual
Features = Mapping[str, NDArray[np.float64]]
"""By kind (``phi``, ``spectrum``, ``reconstruction``): one row a picture."""


@torch.no_grad()
def features(pictures: Iterable[Tensor], extractor: Extractor) -> Features:
    """Numbers on each picture ``(1, 3, h, w)``, 32 px a side or more; compare only pictures of one resolution."""
    rows: dict[str, list[Tensor]] = {"phi": [], "spectrum": [], "reconstruction": []}
    for picture in pictures:
        check_pictures(picture)
        given = padded(picture.to(extractor.device), extractor.downscale)
        latents = extractor.encode(given)
        rows["phi"].append(moments(latents))
        rows["spectrum"].append(spectrum(picture))
        rows["reconstruction"].append(errors(picture, cut(extractor.decode(latents), picture).cpu()))
    return {kind: torch.stack(found).double().numpy() for kind, found in rows.items()}


def moments(latents: Tensor) -> Tensor:
    """Of Φ ``(1, C, h, w)``: mean and deviation of each channel, and the logarithm of its roughness, ``(3C,)``."""
    steps = (latents.diff(dim=-1).pow(2).mean((0, 2, 3)) + latents.diff(dim=-2).pow(2).mean((0, 2, 3))).sqrt()
    spread = latents.std((0, 2, 3))
    return torch.cat([latents.mean((0, 2, 3)), spread, (steps / spread.clamp_min(1e-6) + 1e-6).log()]).cpu()


def spectrum(picture: Tensor) -> Tensor:
    """Logarithm of the power in 12 rings of frequency, of brightness and of two colour differences: ``(36,)``."""
    red, green, blue = picture[0]
    planes = torch.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue])
    height, width = planes.shape[-2:]
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)[None]
    power = torch.fft.fft2((planes - planes.mean((1, 2), keepdim=True)) * window).abs().pow(2)
    distance = (torch.fft.fftfreq(height)[:, None].pow(2) + torch.fft.fftfreq(width)[None].pow(2)).sqrt()
    ring = (distance / 0.5 * BANDS).long().clamp_max(BANDS - 1)
    means = [power[:, ring == i].mean(1) for i in range(BANDS)]
    return (torch.stack(means, 1).flatten() + 1e-8).log()


def errors(picture: Tensor, seen: Tensor) -> Tensor:
    """How far the autoencoder changes a picture: log squared error, the same of fine detail, LPIPS: ``(3,)``."""
    away = picture - seen
    fine = away - F.avg_pool2d(away, 3, 1, 1)
    logs = [(x.pow(2).mean() + 1e-8).log() for x in (away, fine)]
    return torch.stack([*logs, lpips(picture, seen)[0]])


@dataclass(frozen=True)
class Detector:
    """``kinds`` of features, and a function from clean rows, cloaked rows (or None) and rows to judge to scores."""

    about: str
    kinds: tuple[str, ...]
    score: Callable[..., NDArray[np.float64]]
    trained: bool = False


def scores(name: str, suspects: Features, clean: Features, cloaked: Features | None = None) -> NDArray[np.float64]:
    """Scores of the suspects, the higher the more likely cloaked; ``cloaked`` are of other artists."""
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtra("finding cloaked pictures", "lab")
    if name not in DETECTORS:
        raise InputError(f"detector {name!r}: expected one of {', '.join(DETECTORS)}")
    row = DETECTORS[name]
    known = _join(clean, row.kinds)
    if len(known) < FEWEST:
        raise InputError(f"detector {name}: expected {FEWEST} clean pictures or more to learn from, got {len(known)}")
    if row.trained:
        if cloaked is None or len(_join(cloaked, row.kinds)) < FEWEST:
            raise InputError(f"detector {name}: expected {FEWEST} cloaked pictures or more of other artists")
        return row.score(known, _join(cloaked, row.kinds), _join(suspects, row.kinds))
    return row.score(known, None, _join(suspects, row.kinds))


def judged(
    name: str, suspects: Features, clean: Features, cloaked: Features, artists: Sequence[str]
) -> tuple[NDArray[np.float64], float]:
    """Scores of the suspects, and the bar above which a mimic would leave them out: nine in ten clean pictures do not
    reach it.

    Row i of ``cloaked`` is the cloaked picture of row i of ``clean``, by ``artists[i]``. The clean pictures of every
    second artist set the bar, and the detector learns from the other artists alone, as the suspects are by somebody
    else, too: pictures, and artists, that it has learned from look more usual to it than they are.
    """
    names = sorted(set(artists))
    learned = np.array([names.index(artist) % 2 == 0 for artist in artists])
    if min(learned.sum(), (~learned).sum()) < FEWEST:  # too few artists: every second picture
        learned = np.arange(len(artists)) % 2 == 0
    half, twins = ({kind: rows[learned] for kind, rows in part.items()} for part in (clean, cloaked))
    rest = {kind: rows[~learned] for kind, rows in clean.items()}
    bar = np.quantile(scores(name, rest, half, twins), 1 - ALARMS)
    return scores(name, suspects, half, twins), float(bar)


def _join(found: Features, kinds: Sequence[str]) -> NDArray[np.float64]:
    joined: NDArray[np.float64] = np.concatenate([found[kind] for kind in kinds], 1)
    return joined


def _usual(estimator: Callable[[], Any]) -> Callable[..., NDArray[np.float64]]:
    """Scores of one of scikit-learn's outlier detectors on standardised features."""

    def score(clean: NDArray[np.float64], _: None, suspects: NDArray[np.float64]) -> NDArray[np.float64]:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), estimator()).fit(clean)
        return -np.asarray(model.decision_function(suspects), dtype=float)

    return score


def _forest() -> Any:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(n_estimators=200, random_state=0)


def _one_class() -> Any:
    from sklearn.svm import OneClassSVM

    return OneClassSVM(nu=0.1, gamma="scale")


def _neighbours() -> Any:
    from sklearn.neighbors import LocalOutlierFactor

    return LocalOutlierFactor(n_neighbors=5, novelty=True)


def _density(clean: NDArray[np.float64], _: None, suspects: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Mahalanobis distance; the covariance is shrunk (Ledoit & Wolf 2004), since pictures are few."""
    from sklearn.covariance import LedoitWolf
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(clean)
    model = LedoitWolf().fit(scaler.transform(clean))
    return np.asarray(model.mahalanobis(scaler.transform(suspects)), dtype=float)


def _inconsistency(clean: NDArray[np.float64], _: None, suspects: NDArray[np.float64]) -> NDArray[np.float64]:
    """LPIPS between a picture and its reconstruction, as it is: nothing is learned."""
    return suspects[:, 2]


def _trained(
    clean: NDArray[np.float64], cloaked: NDArray[np.float64], suspects: NDArray[np.float64]
) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.repeat([0, 1], [len(clean), len(cloaked)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=3000))
    model.fit(np.concatenate([clean, cloaked]), labels)
    return np.asarray(model.decision_function(suspects), dtype=float)


_ALL = ("phi", "spectrum", "reconstruction")
DETECTORS = {
    "reconstruction": Detector("LPIPS to the autoencoder's reconstruction", ("reconstruction",), _inconsistency),
    "spectrum": Detector("density of the power spectrum", ("spectrum",), _density),
    "density": Detector("density of Φ's statistics", ("phi",), _density),
    "one-class": Detector("one-class SVM on Φ's statistics", ("phi",), _usual(_one_class)),
    "forest": Detector("isolation forest on everything", _ALL, _usual(_forest)),
    "neighbours": Detector("local outlier factor of Φ's statistics", ("phi",), _usual(_neighbours)),
    "trained": Detector(
        "logistic regression on other artists' cloaked and clean pictures", _ALL, _trained, trained=True
    ),
}
