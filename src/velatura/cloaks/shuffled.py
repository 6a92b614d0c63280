"""Another picture's δ brought to the budget: the second control arm.

It has a cloak's spectrum and amplitude and none of its aim, so what it achieves is owed to looks alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.cloaks.budget import fit
from velatura.cloaks.cloak import Cloak
from velatura.errors import InputError


def shuffled(pictures: Tensor, deltas: list[Tensor], *, own: list[int], budget: float, seed: int = 0) -> Cloak:
    """Give each picture the δ of another one, resized and scaled to LPIPS = p.

    ``pictures``: ``(B, 3, H, W)``; ``deltas``: a list of ``(3, h, w)``, of which ``own[i]`` is picture i's.
    """
    if len(deltas) < 2:
        raise InputError(f"shuffled: expected the deltas of two pictures or more, got {len(deltas)}")
    generator = torch.Generator().manual_seed(seed)
    size = tuple(pictures.shape[-2:])
    chosen = []
    for mine in own:
        step = int(torch.randint(1, len(deltas), (1,), generator=generator))
        other = deltas[(mine + step) % len(deltas)][None].to(pictures.device)
        chosen.append(F.interpolate(other, size, mode="bilinear", align_corners=False))
    return Cloak(fit(pictures, torch.cat(chosen), budget, upper=16.0, rounds=16), "shuffled", 0)
