"""A short cloak of a few pictures towards a style, to see how far it would change theirs, before that becomes T.

Where Ω's pictures are far from the artist's, a cloak may still not get there within its budget; and what the model sees
half-way may still look like the artist. Only a cloak shows it (benchmarks/trials.py). It is made on the miniature at
128 px whatever the model and the intensity of the real ones, so it takes seconds and an artist's T depends on neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from velatura.cloaks import GlazeSettings, glaze
from velatura.diffusion.extractors import Extractor
from velatura.images import Artwork, working
from velatura.images.resample import middle
from velatura.perception.style import style, style_change
from velatura.protect.settings import CAST_PER_LPIPS, EFFORTS
from velatura.styles import transfer

SIDE = 128
MOST_PICTURES = 3
BUDGET = 0.1
# At 128 px noise of equal LPIPS has four times the colour cast that it has at 512 (evaluation/arms.py).
SETTINGS = replace(EFFORTS["fast"], budget=BUDGET, cast=4 * CAST_PER_LPIPS * BUDGET)


def small(artwork: Artwork) -> Tensor:
    """The middle square of a picture, ``(1, 3, 128, 128)``."""
    return middle(working(artwork, SIDE), SIDE)


def changed(squares: Sequence[Tensor], vector: Sequence[float], eye: Extractor) -> float:
    """How far cloaks towards the style ``vector`` change that of ``squares`` in ``eye``'s view (``style_change``).

    Of the mean style of the first three squares.
    """
    pictures = torch.cat(list(squares[:MOST_PICTURES])).to(eye.device)
    both = (pictures, cloaked(pictures, vector, eye, SETTINGS))
    with torch.no_grad():
        before, after = (style(eye.view(x)).mean(0, keepdim=True) for x in both)
    return float(style_change(before, after))


def cloaked(pictures: Tensor, vector: Sequence[float], eye: Extractor, settings: GlazeSettings) -> Tensor:
    """Pictures ``(B, 3, 128, 128)`` with a cloak towards the style ``vector``, not yet in files."""
    painted = transfer.paint(pictures, torch.tensor([list(vector)], device=pictures.device))
    return (pictures + glaze(pictures, painted, extractors=[eye], settings=settings).delta).clamp(0, 1)
