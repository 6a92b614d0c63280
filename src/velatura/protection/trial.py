"""A short cloak of a few pictures towards a style, to see how far it would take them, before that becomes T.

Where Ω's pictures are far from the artist's, a cloak may still not get there within its budget; and what the model sees
half-way may still look like the artist. Only a cloak shows it (results/cloaks/trials.json). It is made on the
surrogate at 128 px whatever the model and the intensity of the real ones, so it takes seconds and an artist's T depends
on neither.

How much a cloak changes a picture is not the question, nor how near it comes to its target: an artist's own pictures
differ much among themselves, and a target may be near them. It is how far from them all the style that the model sees
is then (results/cloaks/trials.json, results/cloaks/trial-mimics.json).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from velatura.cloaks import GlazeSettings, glaze
from velatura.diffusion.extractors import Extractor
from velatura.images import Artwork, working
from velatura.images.resample import middle
from velatura.perception.style import style, style_change
from velatura.protection.settings import SHORT
from velatura.styles import transfer

SIDE = 128
MOST_PICTURES = 2
BUDGET = 0.1
# Of no effort: an artist's T must stay when efforts change.
SETTINGS = replace(SHORT, steps=8, learning_rate=0.03, budget=2 * BUDGET, flip=0.2, mask=0.0, alpha=0)
# What T depends on: the question that a trial asks, and of what. Experiments keep their pictures by it.
MADE_WITH = ("cloaks from home", SIDE, MOST_PICTURES, asdict(SETTINGS))


def small(artwork: Artwork) -> Tensor:
    """The middle square of a picture, ``(1, 3, 128, 128)``."""
    return middle(working(artwork, SIDE), SIDE)


@torch.no_grad()
def seen(squares: Sequence[Tensor], eye: Extractor) -> Tensor:
    """Styles of pictures in ``eye``'s view, ``(B, 6048)``."""
    return torch.cat([style(eye.view(square.to(eye.device))) for square in squares])


def style_shift_of_trial(squares: Sequence[Tensor], own: Tensor, vector: Sequence[float], eye: Extractor) -> float:
    """How far a style ``vector`` takes pictures from the styles ``own``, ``(B, 6048)``, of all of the artist's.

    Of the first :data:`MOST_PICTURES` squares, cloaked, as ``eye`` sees them: :func:`from_home`.
    """
    pictures = torch.cat(list(squares[:MOST_PICTURES])).to(eye.device)
    painted = transfer.paint(pictures, torch.tensor([list(vector)], device=pictures.device))
    return from_home(own, seen([cloaked(pictures, painted, eye, SETTINGS)], eye))


def from_home(own: Tensor, styles: Tensor) -> float:
    """Mean ``style_change`` from the mean of the artist's styles to others, both ``(B, 6048)``."""
    return float(style_change(own.mean(0, keepdim=True), styles).mean())


def cloaked(pictures: Tensor, painted: Tensor, eye: Extractor, settings: GlazeSettings) -> Tensor:
    """Pictures ``(B, 3, 128, 128)`` with a cloak towards the ``painted`` ones, not yet in files."""
    return (pictures + glaze(pictures, painted, extractors=[eye], settings=settings).delta).clamp(0, 1)
