"""What the judges know from the start: one file of numbers on pictures, no pictures (``training/fit_judge.py``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from velatura import weights
from velatura.diffusion.extractors import Extractor
from velatura.errors import WeightsError
from velatura.judges import vgg
from velatura.judges.views import Pictures, plain


@dataclass(frozen=True, eq=False)
class Space:
    """The judges' coordinates: principal components of the standardised correlations of VGG16's channels."""

    shift: Tensor  # (8064,)
    scale: Tensor  # (8064,)
    basis: Tensor  # (8064, K)

    @classmethod
    def of(cls, correlations: Tensor, size: int) -> Space:
        """The first ``size`` components of ``(N, 8064)``, together of unit variance a component on average."""
        shift, scale = correlations.mean(0), correlations.std(0).clamp_min(1e-3)
        _, values, vectors = torch.linalg.svd((correlations - shift) / scale, full_matrices=False)
        basis = vectors[:size].T / (values[:size].pow(2).mean() / len(correlations)) ** 0.5
        return cls(shift, scale, basis)

    def places(self, pictures: Pictures, extractor: Extractor) -> Tensor:
        """Where pictures stand, ``(B, K)`` on the CPU: each by its middle square, as the judges see it (views.py)."""
        rows = [vgg.correlations(square) for square in plain(pictures, extractor)]
        return self.project(torch.cat(rows)) if rows else self.basis.new_zeros(0, self.basis.shape[1])

    def project(self, correlations: Tensor) -> Tensor:
        """``(B, 8064)`` to ``(B, K)``, on the CPU."""
        return ((correlations.cpu() - self.shift) / self.scale) @ self.basis


@dataclass(frozen=True, eq=False)
class Embedded:
    """The pictures of the embedded artists, in the judges' coordinates."""

    space: Space
    artists: tuple[str, ...]
    labels: Tensor  # (N,) int64, index of the artist
    groups: Tensor  # (N,) int64, near-duplicates share one
    features: Tensor  # (N, V, K), one row a view (views.VIEWS)
    strength: float  # C of the regression, chosen by cross-validation
    copy_threshold: float  # see copies.py
    autoencoder: str  # sha256 of the autoencoder that the pictures were seen through

    def save(self) -> bytes:
        """The file: half precision, the rest in its header."""
        tensors = {"shift": self.space.shift, "scale": self.space.scale, "basis": self.space.basis}
        tensors["features"] = self.features
        halves = {name: tensor.half().contiguous() for name, tensor in tensors.items()}
        halves |= {"labels": self.labels.to(torch.int16), "groups": self.groups.to(torch.int16)}
        facts = {name: getattr(self, name) for name in ("artists", "strength", "copy_threshold", "autoencoder")}
        return save(halves, {"judge": json.dumps(facts)})


def load(path: Path | None = None) -> Embedded:
    """The embedded file, or another. Refused where it was made with another autoencoder than the present one."""
    path = path or weights.embedded("judge-style")
    found = _load(path)
    if found.autoencoder != weights.sha256(weights.embedded("mini")):
        raise WeightsError(f"{path}: made with another autoencoder than the embedded one; run training/fit_judge.py")
    return found


@lru_cache(maxsize=4)
def _load(path: Path) -> Embedded:
    try:
        with safe_open(str(path), "pt") as file:
            facts = json.loads(file.metadata()["judge"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: not a judge's file ({error}); make one with training/fit_judge.py") from None
    space = Space(*(tensors[name].float() for name in ("shift", "scale", "basis")))
    labels, groups = tensors["labels"].long(), tensors["groups"].long()
    facts["artists"] = tuple(facts["artists"])
    return Embedded(space=space, labels=labels, groups=groups, features=tensors["features"].float(), **facts)
