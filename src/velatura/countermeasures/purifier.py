"""The learned purifier: a small U-Net that has seen pairs of cloaked and clean pictures. No weights of it are shipped.

Whoever can run the cloak can make such pairs of art that is free to use: the cheapest strong countermeasure there is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from velatura import weights
from velatura.countermeasures.autoencoding import cut, padded
from velatura.countermeasures.settings import Settings, setting
from velatura.diffusion.small_unet import SmallUNet
from velatura.errors import WeightsError
from velatura.images.contract import check_pictures

WIDTHS = (32, 64, 96)
MULTIPLE = 2 ** len(WIDTHS)


class Network(SmallUNet):
    """Pictures in [0, 1], sides multiples of 8, to what should be added to them. Starts as no change at all."""

    def __init__(self) -> None:
        super().__init__(3, WIDTHS)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> Tensor:
        return super().forward(pictures - 0.5)


@dataclass(frozen=True)
class LearnedSettings(Settings):
    strength: float = setting(1.0, "of the correction; 1 is as learned", 0, 4)


@dataclass(frozen=True, eq=False)
class Purifier:
    """A trained network, the short side (px) of the pictures it learned from, and facts about the training."""

    network: Network
    side: int
    facts: dict[str, Any]

    def save(self) -> bytes:
        """The file: safetensors in half precision, facts in its header."""
        tensors = {name: value.detach().cpu().half().contiguous() for name, value in self.network.state_dict().items()}
        return save(tensors, {"purifier": json.dumps({**self.facts, "side": self.side})})


def load(path: str | Path, device: str = "cpu") -> Purifier:
    """What ``velatura lab purify train`` wrote."""
    path = weights.local_path(path)
    try:
        with safe_open(str(path), "pt") as file:
            facts = json.loads(file.metadata()["purifier"])
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  not a mapping
        network = Network()
        network.load_state_dict(state)
        side = int(facts.pop("side"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{path}: expected a purifier's file ({why}); make one: `velatura lab purify train CLOAKED CLEAN -o FILE`"
        ) from None
    return Purifier(network.requires_grad_(False).eval().to(device), side, facts)


@torch.no_grad()
def learned(pictures: Tensor, *, settings: LearnedSettings, model: Purifier) -> Tensor:
    """Corrected by the network at the size that it knows; for larger pictures the correction is enlarged."""
    check_pictures(pictures)
    height, width = pictures.shape[-2:]
    small = pictures
    if min(height, width) > model.side:
        scale = model.side / min(height, width)
        size = (round(height * scale), round(width * scale))
        small = F.interpolate(pictures, size, mode="bicubic", antialias=True).clamp(0, 1)
    correction = cut(model.network(padded(small, MULTIPLE)), small)
    if small is not pictures:
        correction = F.interpolate(correction, (height, width), mode="bicubic")
    return (pictures + settings.strength * correction).clamp(0, 1)
