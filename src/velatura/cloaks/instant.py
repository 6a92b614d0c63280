"""The instant cloak, ours: a small network that has learned what the optimiser does, and does it in one pass.

It takes a picture and what it is to look like, Ω(x,T), and gives δ. Taught on what the Glaze objective asks of the
miniature's autoencoder (training/train_instant.py), so alone it is no cloak for another one. Weaker than the presets,
and a start for them (results/cloaks/instant.json), on other models as well (results/cloaks/surrogate.json).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from velatura import weights
from velatura.cloaks.budget import Budget, within
from velatura.cloaks.cloak import Cloak, OnStep, Step, check_pairs, goals, mean_remaining
from velatura.diffusion.extractors import Extractor
from velatura.diffusion.small_unet import SmallUNet
from velatura.errors import InputError
from velatura.perception.flip import PPD
from velatura.perception.lpips import lpips

TAUGHT_ON = "mini"
WIDTHS = (24, 48, 96, 192)
LARGEST = 0.2  # of δ in one channel
GROWTH = 4.0  # δ may be enlarged so many times to use the budget
MULTIPLE = 2 ** len(WIDTHS)


@dataclass(frozen=True)
class InstantSettings:
    """budget: p, LPIPS (AlexNet). flip: q, mean ꟻLIP at ``ppd`` pixels per degree, or None."""

    budget: float = 0.05
    flip: float | None = None
    ppd: float = PPD


class Network(SmallUNet):
    """Pictures and targets ``(B, 3, H, W)`` in [0, 1], sides multiples of 16, to δ ``(B, 3, H, W)``.

    2.4 million parameters.
    """

    def __init__(self) -> None:
        super().__init__(6, WIDTHS)

    def forward(self, pictures: Tensor, targets: Tensor) -> Tensor:  # type: ignore[override]
        return LARGEST * torch.tanh(super().forward(torch.cat([pictures - 0.5, targets - pictures], 1)))


@lru_cache(maxsize=4)
def network(device: str = "cpu") -> Network:
    """The network that ships, made once and reused."""
    module = Network()
    module.load_state_dict({k: v.float() for k, v in load_file(weights.embedded("instant")).items()})
    return module.requires_grad_(False).eval().to(device)


@torch.no_grad()
def direction(pictures: Tensor, targets: Tensor) -> Tensor:
    """δ ``(B, 3, H, W)`` as the network gives it, not yet in any budget.

    ``pictures`` and ``targets`` = Ω(x,T): ``(B, 3, H, W)`` in [0, 1], of any size.
    """
    check_pairs(pictures, targets)
    height, width = pictures.shape[-2:]
    room = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    found: Tensor = network(str(pictures.device))(*(F.pad(x, room, mode="replicate") for x in (pictures, targets)))
    return found[..., :height, :width]


def beginning(pictures: Tensor, targets: Tensor, *, settings: InstantSettings, opacity: Tensor | None = None) -> Tensor:
    """δ ``(B, 3, H, W)`` for an optimiser to begin from, on any model: one pass, scaled to the budgets.

    ``opacity``: ``(B, 1, H, W)`` of pictures that are transparent in places; δ is as it is seen there, times the
    opacity.
    """
    found = direction(pictures, targets)
    if opacity is not None:
        found = opacity * found
    budget = Budget(pictures, settings.budget, settings.flip, settings.ppd, opacity)
    return within(budget, pictures, found, upper=GROWTH)


def instant(
    pictures: Tensor,
    targets: Tensor,
    *,
    extractors: Sequence[Extractor],
    settings: InstantSettings,
    on_step: OnStep | None = None,
) -> Cloak:
    """The beginning as a cloak of its own. Shapes as in :func:`direction`; ``pictures + delta`` is in [0, 1].

    ``extractors``: whatever is to be deceived; others than it was taught on raise `InputError`.
    """
    check_known([(extractor.name, extractor.sha256) for extractor in extractors])
    found = beginning(pictures, targets, settings=settings)
    if on_step is not None:
        with torch.no_grad():
            far = float(mean_remaining(goals(extractors, pictures, targets), pictures + found).mean())
            on_step(Step(1, 1, far, far, float(lpips(pictures, pictures + found).mean()), found))
    return Cloak(found, "instant", 1)


def knows(extractors: Sequence[Extractor]) -> bool:
    """Whether all of these are what it was taught on."""
    return all(extractor.sha256 == _taught_on() for extractor in extractors)


def check_known(models: Sequence[tuple[str, str]]) -> None:
    """Refuse all but what it was taught on; of each model its name and sha256."""
    for name, digest in models:
        if digest != _taught_on():
            raise InputError(f"instant: made for the model {TAUGHT_ON} only, got {name}: choose another cloak")


def _taught_on() -> str:
    return weights.sha256(weights.embedded(TAUGHT_ON))
