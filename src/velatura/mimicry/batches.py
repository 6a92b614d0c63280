"""What a step of fine-tuning learns from: random squares of pictures, and their latents."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from velatura.diffusion import denoising
from velatura.mimicry.settings import Settings

POSITIONS = 9  # of a square along each side of a picture
Square = tuple[int, int, int, bool]  # picture, top, left, mirrored


def batch(
    pictures: Sequence[Tensor], captions: Sequence[str], by_name: str, settings: Settings, generator: torch.Generator
) -> tuple[list[Square], list[str]]:
    """Random pictures, random squares of them, mirrored half of the time, and their captions."""
    rng = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
    squares, texts = [], []
    for _ in range(settings.batch):
        i = rng.randrange(len(pictures))
        steps = (rng.randrange(POSITIONS) for _ in range(2))
        room = (side - settings.resolution for side in pictures[i].shape[-2:])
        top, left = (most * step // (POSITIONS - 1) for most, step in zip(room, steps, strict=True))
        squares.append((i, top, left, rng.random() < 0.5))
        draw = rng.random()
        kept = captions[i] if draw >= settings.caption_dropout + settings.subject_dropout else by_name
        texts.append("" if draw < settings.caption_dropout else kept)
    return squares, texts


class Encoded:
    """Latents of squares; each is encoded when it is first drawn, alone, so that a resumed run finds the same."""

    def __init__(self, vae: Any, pictures: Sequence[Tensor], side: int) -> None:
        self.vae, self.pictures, self.side = vae, pictures, side
        self.kept: dict[Square, denoising.Latents] = {}

    def __call__(self, squares: Sequence[Square], generator: torch.Generator) -> Tensor:
        for square in squares:
            if square not in self.kept:
                picture, top, left, mirrored = square
                cut = self.pictures[picture][..., top : top + self.side, left : left + self.side]
                cut = cut.flip(-1) if mirrored else cut
                self.kept[square] = denoising.latents(self.vae, cut.to(self.vae.device))
        means, deviations = (torch.cat(part) for part in zip(*(self.kept[s] for s in squares), strict=True))
        return denoising.drawn(self.vae, (means, deviations), generator).float()
