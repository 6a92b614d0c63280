"""How the judges look at pictures: as a mimic of the miniature does, at 128 px and through its autoencoder.

A generator's pictures are blurred, and a judge that has seen only sharp pictures takes blur for another painter's hand.
Hence every picture that a judge learns from is shown six times (:data:`VIEWS`), in three crops, blurred, sharpened,
zoomed into, and as a weak generator would decode it. What it judges is looked at once, plain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.diffusion.extractors import Extractor
from velatura.errors import InputError
from velatura.images import Artwork, read, working
from velatura.images.contract import check_pictures
from velatura.perception.pixels import blurred

SIDE = 128
Pictures: TypeAlias = Tensor | Sequence["Path | Artwork | Tensor"]
"""Pictures ``(B, 3, H, W)`` in [0, 1], or a sequence of files, artworks and single pictures ``(1, 3, h, w)``."""
Change: TypeAlias = Callable[[Tensor, Extractor, torch.Generator], Tensor]


def opened(pictures: Pictures) -> Iterator[Tensor]:
    """One picture after another, ``(1, 3, h, w)`` with its short side at 128 px."""
    for picture in torch.split(pictures, 1) if isinstance(pictures, Tensor) else pictures:
        if isinstance(picture, Path):
            picture = read(picture)
        if isinstance(picture, Artwork):
            yield working(picture, SIDE)
            continue
        check_pictures(picture, "picture")
        height, width = picture.shape[-2:]
        if min(height, width) != SIDE:
            scale = SIDE / min(height, width)
            size = (round(height * scale), round(width * scale))
            picture = F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
        yield picture


def square(picture: Tensor, place: float = 0.5) -> Tensor:
    """The 128 px square at the start (0), in the middle (0.5) or at the end (1) of the long side."""
    top, left = (round((side - SIDE) * place) for side in picture.shape[-2:])
    return picture[..., top : top + SIDE, left : left + SIDE]


def plain(pictures: Pictures, extractor: Extractor) -> Iterator[Tensor]:
    """Each picture as the judges see it, ``(1, 3, 128, 128)``: its middle square, through the autoencoder."""
    for picture in opened(pictures):
        with torch.no_grad():
            yield extractor.view(square(picture).to(extractor.device))


def blur(pictures: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, sigma in pixels."""
    return blurred(pictures, sigma, reach=3.0)


def sharpen(pictures: Tensor, amount: float, sigma: float = 1.0) -> Tensor:
    """Unsharp mask."""
    return (pictures + amount * (pictures - blur(pictures, sigma))).clamp(0, 1)


def generated(picture: Tensor, extractor: Extractor, noise: torch.Generator, smooth: float, noisy: float) -> Tensor:
    """What a weak generator makes of it: latents smoothed (a mean of many pictures) and noised (steps left out).

    ``smooth``: sigma in latent pixels; ``noisy``: in standard deviations of the latents.
    """
    latents = blur(extractor.encode(picture), smooth)
    grain = torch.randn(latents.shape, generator=noise).to(latents.device)
    return extractor.decode(latents + noisy / extractor.scaling_factor * grain)


def zoom(picture: Tensor, factor: float) -> Tensor:
    """The middle of a square, enlarged."""
    size = round(SIDE / factor)
    start = (SIDE - size) // 2
    middle = picture[..., start : start + size, start : start + size]
    return F.interpolate(middle, (SIDE, SIDE), mode="bicubic").clamp(0, 1)


@dataclass(frozen=True)
class View:
    """One way to look: where the square is cut, whether it is mirrored, and what happens to it before Φ."""

    place: float = 0.5
    mirrored: bool = False
    change: Change = lambda picture, extractor, noise: picture

    def __call__(self, picture: Tensor, extractor: Extractor, noise: torch.Generator) -> Tensor:
        cut = square(picture, self.place)
        return self.change(cut.flip(-1) if self.mirrored else cut, extractor, noise)


VIEWS = (
    View(),  # first: what a judge is asked about is looked at in this way
    View(0.0, True, lambda picture, extractor, noise: blur(picture, 0.8)),
    View(1.0, False, lambda picture, extractor, noise: sharpen(picture, 1.0)),
    View(0.5, True, lambda picture, extractor, noise: blur(picture, 1.6)),
    View(0.0, False, lambda picture, extractor, noise: generated(picture, extractor, noise, 0.6, 0.2)),
    View(1.0, True, lambda picture, extractor, noise: zoom(picture, 1.3)),
)
# What the judge has not seen in these strengths: to measure on, never to learn from.
TRIALS = {
    "blurred": View(change=lambda picture, extractor, noise: blur(picture, 1.2)),
    "sharpened": View(change=lambda picture, extractor, noise: sharpen(picture, 0.6)),
    "generated": View(change=lambda picture, extractor, noise: generated(picture, extractor, noise, 0.4, 0.35)),
}


@torch.no_grad()
def look(picture: Tensor, extractor: Extractor, views: Sequence[View] = VIEWS, seed: int = 0) -> Tensor:
    """All views of one picture ``(1, 3, h, w)``, through the autoencoder: ``(len(views), 3, 128, 128)``."""
    if min(picture.shape[-2:]) != SIDE:
        raise InputError(f"look: expected a short side of {SIDE} px, got {tuple(picture.shape[-2:])}")
    picture = picture.to(extractor.device)
    noise = torch.Generator().manual_seed(seed)
    return extractor.view(torch.cat([view(picture, extractor, noise) for view in views]))
