"""Hardening: an objective in expectation over what is done to a picture on its way (Athalye et al., ICML 2018).

The transformations come as arguments: what a cloak was optimised under stays visible beside what it is
tested with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.cloaks.cloak import Objective
from velatura.errors import InputError


@dataclass(frozen=True)
class Transform:
    """``function``: pictures ``(B, 3, H, W)`` and a generator to draw from, to pictures of that size; differentiable.

    ``moves``: it gives the picture another framing, so that the target is moved alike.
    """

    name: str
    function: Callable[[Tensor, torch.Generator], Tensor]
    moves: bool = False


def expected(
    make: Callable[[Tensor, Tensor], Objective],
    pictures: Tensor,
    targets: Tensor,
    transforms: Sequence[Transform],
    *,
    draws: int = 2,
    weight: float = 1.0,
    seed: int = 0,
) -> Objective:
    """E over transformations T of the objective of T(x+δ), the identity always among them.

    ``make``: pictures and targets to an objective. Each step takes ``draws`` transformations, in turn, with fresh
    parameters; their mean counts ``weight`` times as much as the untransformed picture. Two optimisations with one
    ``seed`` draw the same.
    """
    if not transforms or draws < 1:
        raise InputError(f"expected one transformation and one draw or more, got {len(transforms)} and {draws}")
    plain = make(pictures, targets)
    generator = torch.Generator().manual_seed(seed)
    turn = 0

    def transformed(cloaked: Tensor) -> Tensor:
        nonlocal turn
        transform, turn = transforms[turn % len(transforms)], turn + 1
        if not transform.moves:
            return plain(transform.function(cloaked, generator))[0]
        drawn = int(torch.randint(2**31, (1,), generator=generator))
        moved = [transform.function(x, torch.Generator().manual_seed(drawn)) for x in (pictures, targets, cloaked)]
        return make(moved[0], moved[1])(moved[2])[0]

    def objective(cloaked: Tensor) -> tuple[Tensor, Tensor]:
        wanted, remaining = plain(cloaked)
        others = torch.stack([transformed(cloaked) for _ in range(draws)]).mean(0)
        return (wanted + weight * others) / (1 + weight), remaining

    return objective
