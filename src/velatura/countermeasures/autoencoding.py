"""Countermeasures with the model's own autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.countermeasures.noise import add_noise
from velatura.countermeasures.settings import Settings, seed, setting
from velatura.diffusion.extractors import Extractor
from velatura.images.contract import check_pictures
from velatura.perception.lpips import load

OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class RoundTripSettings(Settings):
    rounds: int = setting(1, "how often", 1, 100)


@dataclass(frozen=True)
class ImpressSettings(Settings):
    steps: int = setting(300, "of Adam; the authors take 3000", 1, 100_000)
    rate: float = setting(0.005, "Adam's at the start, in units of the [0, 1] picture", 1e-6, 1)
    budget: float = setting(0.1, "LPIPS to the given picture above which the penalty starts", 0, 1)
    alpha: float = setting(0.1, "weight of that penalty", 0, 1000)
    noise: float = setting(0.05, "standard deviation of the noise that the search starts from", 0, 1)
    seed: int = seed()


@torch.no_grad()
def round_trip(pictures: Tensor, *, settings: RoundTripSettings, model: Extractor) -> Tensor:
    """Encoded and decoded by the model's autoencoder: only what the model itself can express is left."""
    check_pictures(pictures)
    for _ in range(settings.rounds):
        pictures = cut(model.view(padded(pictures, model.downscale)), pictures)
    return pictures


def impress(pictures: Tensor, *, settings: ImpressSettings, model: Extractor, on_step: OnStep | None = None) -> Tensor:
    """IMPRESS (Cao et al., NeurIPS 2023): look nearby for a picture that the autoencoder leaves as it is.

    min over y of ‖y − D(E(y))‖² + α·max(LPIPS(x, y) − b, 0), the first term a mean over values in [-1, 1]. A cloaked
    picture comes back from the autoencoder changed, more than a clean one does. The paper takes VGG's LPIPS; here it
    is AlexNet's, since VGG16 is kept for judging. The rate and its schedule are the authors'
    (0.01 on [-1, 1]). Pictures of a batch do not influence each other.
    """
    check_pictures(pictures)
    perceptual = load("alex", str(pictures.device))
    with torch.no_grad():
        reference = perceptual.features(pictures)
    found = add_noise(pictures, settings.noise, settings.seed).requires_grad_(True)
    optimizer = torch.optim.Adam([found], lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps, settings.rate / 1000)
    for step in range(settings.steps):
        seen = cut(model.view(padded(found, model.downscale)), found)
        consistency = (2 * (found - seen)).pow(2).mean((1, 2, 3))
        away = perceptual.compare(reference, perceptual.features(found))
        loss = (consistency + settings.alpha * (away - settings.budget).clamp_min(0)).sum()
        (found.grad,) = torch.autograd.grad(loss, found)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            found.clamp_(0, 1)
        if on_step is not None:
            on_step(step + 1, settings.steps)
    return found.detach()


def padded(pictures: Tensor, multiple: int) -> Tensor:
    """Right and bottom edges repeated until both sides are multiples."""
    height, width = pictures.shape[-2:]
    return F.pad(pictures, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def cut(pictures: Tensor, like: Tensor) -> Tensor:
    """The top left part of the size of ``like``."""
    return pictures[..., : like.shape[-2], : like.shape[-1]]
