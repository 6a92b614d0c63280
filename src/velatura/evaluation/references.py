"""What treated pictures are compared with: originals and painted targets, in the same place as the pictures are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from velatura.countermeasures.treatment import Treatment
from velatura.diffusion.extractors import Extractor
from velatura.perception import lpips as distances


class Eye:
    """Pictures as the mimic's model sees them, and LPIPS (VGG) between such views."""

    def __init__(self, seen: Extractor, device: str = "cpu") -> None:
        self.seen, self.device, self.vgg = seen, device, distances.load("vgg", device)

    @torch.no_grad()
    def features(self, picture: Tensor) -> list[Tensor]:
        return self.vgg.features(self.seen.view(picture.to(self.device)))

    def distance(self, picture: Tensor, goal: list[Tensor]) -> float:
        return float(self.vgg.compare(self.features(picture), goal))


class References:
    """Originals and targets ``(1, 3, h, w)``; ``goals``: the targets as seen; ``start``: the originals' way to them.

    Where a treatment moves pictures (crop, rotation), originals and targets must be moved alike: a target in another
    place would be as far from a cloak that holds as from one that does not.
    """

    def __init__(self, originals: Sequence[Tensor], targets: Sequence[Tensor], eye: Eye) -> None:
        self.originals, self.targets, self.eye = originals, targets, eye
        self.goals = [eye.features(target) for target in targets]
        self.start = [eye.distance(x, goal) for x, goal in zip(originals, self.goals, strict=True)]
        self._moved: dict[Treatment, References] = {}

    def after(self, treatment: Treatment | None) -> References:
        """The same after a treatment that moves pictures; after any other one, as it is."""
        if treatment is None or not treatment.moves:
            return self
        if treatment not in self._moved:
            originals, targets = (applied(treatment, x, self.eye.device) for x in (self.originals, self.targets))
            self._moved[treatment] = References(originals, targets, self.eye)
        return self._moved[treatment]


def applied(treatment: Treatment, pictures: Sequence[Tensor], device: str) -> list[Tensor]:
    """Each picture after the treatment, with draws of its own."""
    return [treatment(x.to(device), shift=i).cpu() for i, x in enumerate(pictures)]
