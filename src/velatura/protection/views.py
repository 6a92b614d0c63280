"""What the models see of a protected file, by model family, beside noise that is as visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from velatura.cloaks.cloak import Goal
from velatura.cloaks.windows import LONGEST, spans
from velatura.diffusion.extractors import Extractor
from velatura.perception.flip import Flip


@dataclass(frozen=True)
class FamilyView:
    """How far along its way to the target one model family sees a picture: 0 where it was, 1 at the target.

    ``progress``: 1 − ‖Φ(x+δ)−Φ(t)‖² / ‖Φ(x)−Φ(t)‖², of the file; ``noise``: the same of random noise that is as
    visible; ``seen_by``: the network that stood for the family. What the surrogate says is multiplied by how much of it
    real ones confirmed (``training/train_surrogate.py finish``).
    """

    progress: float
    noise: float
    seen_by: str


class View:
    """What one model gives back of the picture, before and after; computed when somebody looks."""

    def __init__(self, extractor: Extractor, original: Tensor, saved: Tensor) -> None:
        self.extractor, self.original, self.saved = extractor, original, saved

    @cached_property
    def before(self) -> Tensor:
        return self._seen(self.original)

    @cached_property
    def after(self) -> Tensor:
        return self._seen(self.saved)

    @torch.no_grad()
    def _seen(self, picture: Tensor) -> Tensor:
        found = torch.zeros_like(picture)
        for rows, columns in squares(picture):
            found[..., rows, columns] = self.extractor.view(picture[..., rows, columns])
        return found


@torch.no_grad()
def by_family(
    extractors: Sequence[Extractor],
    original: Tensor,
    saved: Tensor,
    target: Tensor,
    seed: int,
    shown: Tensor | None = None,
) -> dict[str, FamilyView]:
    """How far each family sees the saved picture on its way, by the family's name (or the model's, if it has none).

    ``shown``: the opacity ``(1, 1, H, W)`` of a picture that is transparent in places.
    Measured in fp32 whatever the optimiser used; a long picture in squares along its length, figures averaged.
    """
    random = equally_visible_noise(original, saved, seed, shown)
    parts = squares(original)
    found: dict[str, FamilyView] = {}
    for extractor in extractors:
        fast, extractor.precision = extractor.precision, "fp32"
        try:
            rows = torch.stack([_progress(extractor, *(x[..., r, c] for x in (original, saved, random, target)))
                                for r, c in parts]).mean(0)  # fmt: skip
        finally:
            extractor.precision = fast
        for (family, _), (progress, noise) in zip(extractor.parts, rows.tolist(), strict=True):
            so = extractor.heard.get(family, 1.0)
            found[family] = FamilyView(so * progress, so * noise, extractor.name)
    return found


def _progress(extractor: Extractor, original: Tensor, saved: Tensor, random: Tensor, target: Tensor) -> Tensor:
    """``(families, 2)``: of the saved picture and of the noise."""
    goal = Goal(extractor, original, target)
    return torch.stack([1 - goal.by_family(goal.encode(x))[0] for x in (saved, random)], 1)


@torch.no_grad()
def equally_visible_noise(original: Tensor, saved: Tensor, seed: int, shown: Tensor | None = None) -> Tensor:
    """The picture with white Gaussian noise of the saved one's mean ꟻLIP, where it shows."""
    eye = Flip(original)
    wanted = float(eye(saved).mean())
    drawn = torch.randn(original.shape, generator=torch.Generator().manual_seed(seed)).to(original)
    if shown is not None:  # nothing differs elsewhere: the means over all pixels compare as those over what shows
        drawn = shown * drawn
    scale = 0.02
    for _ in range(3):  # ꟻLIP of noise grows nearly as its size does
        reached = float(eye((original + scale * drawn).clamp(0, 1)).mean())
        scale *= wanted / max(reached, 1e-6)
    return (original + scale * drawn).clamp(0, 1)


def as_report(families: Mapping[str, FamilyView]) -> dict[str, Any]:
    """JSON-ready."""
    return {name: {"progress": f.progress, "progress_noise": f.noise, "seen_by": f.seen_by}
            for name, f in families.items()}  # fmt: skip


def squares(picture: Tensor) -> list[tuple[slice, slice]]:
    """The whole of an ordinary picture; of a long one, squares that cover it (the windows of its cloak)."""
    height, width = picture.shape[-2:]
    short, long = min(height, width), max(height, width)
    across, parts = slice(0, short), spans(long, short) if long > LONGEST * short else [(0, long)]
    along = [slice(start, end) for start, end in parts]
    return [(part, across) if height > width else (across, part) for part in along]
