"""How far generated pictures are from real ones as a whole: a Frechet distance, as FID is one.

FID (Heusel et al., NeurIPS 2017) takes Inception's features and thousands of pictures. An artist has dozens: the first
components of the judges' own features stand in, covariances are shrunk (Ledoit & Wolf 2004), and the bias of small
sets is measured beside the value. Compare only values of equal ``n``, and none with published FIDs.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.diffusion import extractors
from velatura.errors import InputError, MissingExtra
from velatura.judges import embedded
from velatura.judges.views import Pictures

COMPONENTS = 64
FEWEST = 8
SPLITS = 8


@dataclass(frozen=True)
class Fidelity:
    """``distance`` of generated to real pictures, ``bias``: of real to other real ones; both of ``n`` to ``n``."""

    distance: float
    bias: float
    n: int


def fidelity(generated: Pictures, real: Pictures, *, device: str = "cpu", seed: int = 0) -> Fidelity:
    """Means over eight draws of ``n`` generated and twice ``n`` other real pictures; 16 real ones at the least.

    A distance at ``bias`` is as near as real pictures of the same artist are to each other.
    """
    extractor, space = extractors.load("mini", device), embedded.load().space
    sets = []
    for name, pictures in (("generated", generated), ("real", real)):
        rows = space.places(pictures, extractor)
        fewest = FEWEST if name == "generated" else 2 * FEWEST
        if len(rows) < fewest:
            raise InputError(f"fidelity: expected at least {fewest} {name} pictures, got {len(rows)}")
        sets.append(rows)
    return compare(*sets, seed=seed)


def compare(generated: Tensor, real: Tensor, *, seed: int = 0) -> Fidelity:
    """The same from the judges' coordinates ``(G, K)`` and ``(R, K)``, of which the first count."""
    generated, real = generated[:, :COMPONENTS], real[:, :COMPONENTS]
    n = min(len(generated), len(real) // 2)
    draw = torch.Generator().manual_seed(seed)
    values, floors = [], []
    for _ in range(SPLITS):
        some = generated[torch.randperm(len(generated), generator=draw)[:n]]
        first, second = real[torch.randperm(len(real), generator=draw)[: 2 * n]].chunk(2)
        values.append(frechet(some, first))
        floors.append(frechet(second, first))
    return Fidelity(sum(values) / SPLITS, sum(floors) / SPLITS, n)


def frechet(a: Tensor, b: Tensor) -> float:
    """Squared 2-Wasserstein distance of two normal distributions fitted to ``(N, K)`` and ``(M, K)``."""
    (mean_a, cov_a), (mean_b, cov_b) = _moments(a), _moments(b)
    root = _root(cov_a)
    # tr (A B)^½ from the symmetric A^½ B A^½, whose eigenvalues are real and not negative.
    mixed = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    return float((mean_a - mean_b).pow(2).sum() + cov_a.trace() + cov_b.trace() - 2 * mixed)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtra("the fidelity of generated pictures", "lab")
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(rows.double().numpy())
    return rows.double().mean(0), torch.from_numpy(covariance)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors * values.clamp_min(0).sqrt() @ vectors.T
    return root
