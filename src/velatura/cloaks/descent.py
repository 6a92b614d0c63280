"""The loop that optimising cloaks share: Adam on δ, penalties above the budgets, and a last step back into them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.cloaks.budget import Budget, within
from velatura.cloaks.cloak import Objective, OnStep, Step
from velatura.diffusion.extractors import Extractor
from velatura.perception.flip import PPD
from velatura.perception.texture import activity, smoothed

Colour = Callable[[Tensor, Tensor], Tensor]
"""Pictures ``(B, 3, H, W)`` and a change of their luma ``(B, 1, H, W)`` to the δ ``(B, 3, H, W)`` that makes it."""

FAINTEST = 1e-3  # opacity below which a δ would have to be huge to be seen; less than one step of 8 bits


@dataclass(frozen=True)
class DescentSettings:
    """The defaults are those of the published re-implementation: α 30, Adam at 0.01, 500 steps, LPIPS alone.

    budget: p, LPIPS (AlexNet) between original and cloaked picture.
    alpha: weight of the penalty above p; 0: p is only kept at the end, by scaling δ.
    alpha_from: the share of the run before which LPIPS, which is slow, is not asked; nor is it later for pictures of
        which q is the narrower bound.
    steps: of gradient descent.
    learning_rate: Adam's, in units of the [0, 1] picture.
    decay: cosine to zero over the run, which lets short runs take large steps and still settle on the budget.
    beta2: Adam's second decay; 0.9 forgets within ten steps what the penalty's large gradients were.
    flip: q, the second bound: mean ꟻLIP (``perception.flip``); None, as published, has no bound.
    gamma: weight of the penalty above q, in units of q.
    gamma_start: where given, the weight grows geometrically from it to gamma: a run moves first, settles later.
    ppd: pixels per degree of sight at which ꟻLIP looks at the pictures.
    mask: exponent of the local activity that δ is scaled with: where the picture is busy it hides a change.
    floor: activity (L*) that flat places are taken to have all the same; 0 leaves them as they are.
    steepest: how many times as large as on average δ may be in the busiest places: where nearly all of a picture is
        flat, its few edges would get all of it.
    smooth: δ has no pattern of two pixels, which optimisers find and eyes see, and which no resizing keeps.
    """

    budget: float = 0.05
    alpha: float = 30.0
    alpha_from: float = 0.0
    steps: int = 500
    learning_rate: float = 0.01
    decay: bool = False
    beta2: float = 0.999
    flip: float | None = None
    gamma: float = 3.0
    gamma_start: float | None = None
    ppd: float = PPD
    mask: float = 0.0
    floor: float = 2.0
    steepest: float = math.inf
    smooth: bool = False


def descend(
    pictures: Tensor,
    objective: Objective,
    extractor: Extractor,
    settings: DescentSettings,
    on_step: OnStep | None,
    opacity: Tensor | None = None,
    start: Tensor | None = None,
    colour: Colour | None = None,
) -> Tensor:
    """δ ``(B, 3, H, W)``, pictures + δ in [0, 1]: min of the objective + α·max(LPIPS − p, 0) + γ·max(ꟻLIP/q − 1, 0).

    Pictures of a batch do not influence each other. The result is scaled down where the penalties left it above p or q.
    LPIPS runs in ``extractor``'s precision. ``opacity`` ``(B, 1, H, W)`` in [0, 1]: of δ, that share is seen.
    ``start``: δ ``(B, 3, H, W)`` to begin from, as it is seen (times ``opacity``), with ``mask`` less of it where steps
    are small; zero if left out. ``colour``: of pictures that are grey or in one hue, what δ a change of luma
    ``(B, 1, H, W)`` makes of them.
    """
    s = settings
    shape = _shape(pictures, s, opacity)
    reach = shape if opacity is None else shape * opacity
    bounds = Budget(pictures, s.budget, s.flip, s.ppd, opacity)
    variable = torch.zeros_like(pictures if colour is None else pictures[:, :1])
    if start is not None:  # where steps are small, less of it: it would take long to be rid of what shows
        begun = (start * shape.clamp(max=1) / reach.clamp_min(FAINTEST)).clamp(-1, 1)
        variable = begun if colour is None else begun.mean(1, keepdim=True)
    variable.requires_grad_(True)
    optimizer = torch.optim.Adam([variable], lr=s.learning_rate, betas=(0.9, s.beta2))

    def seen(x: Tensor) -> Tensor:
        """δ as it is seen."""
        found = reach * (smoothed(x) if s.smooth else x)
        return found if colour is None else colour(pictures, found)

    first = round(s.alpha_from * s.steps)
    for index in range(s.steps):
        done = index / max(1, s.steps - 1)
        if s.decay:
            optimizer.param_groups[0]["lr"] = s.learning_rate * (0.5 + 0.5 * math.cos(math.pi * index / s.steps))
        cloaked = pictures + seen(variable)
        wanted, remaining = objective(cloaked)
        loss = wanted.sum()
        visible = loss.detach().new_full((len(pictures),), float("nan"))
        differs = visible
        if s.flip is not None:
            differs = bounds.flip(cloaked)
        if s.alpha and index == first:
            narrow = _lpips_is_narrower(bounds, cloaked.detach(), differs.detach(), s)
        if s.alpha and index >= first and narrow.any():
            with extractor.autocast():
                visible = bounds.lpips(cloaked).float()
            loss = loss + s.alpha * ((visible - s.budget).clamp_min(0) * narrow).sum()
        if s.flip is not None:
            weight = s.gamma if s.gamma_start is None else s.gamma_start * (s.gamma / s.gamma_start) ** done
            loss = loss + weight * (differs / s.flip - 1).clamp_min(0).sum()
        (variable.grad,) = torch.autograd.grad(loss, variable)
        optimizer.step()
        if not s.smooth and colour is None:  # each value by itself: what leaves the box comes back at once
            with torch.no_grad():
                inside = (pictures + seen(variable)).clamp(0, 1) - pictures
                variable.copy_(inside / reach.clamp_min(FAINTEST))
        if on_step is not None:
            figures = (loss / len(pictures), remaining, visible, differs)
            total, far, lpips, flip = (float(v.detach().mean()) for v in figures)
            step = seen(variable.detach()).expand_as(pictures)
            on_step(Step(index + 1, s.steps, total, far, lpips, step, flip))
    delta = (pictures + seen(variable.detach())).clamp(0, 1) - pictures
    delta = within(bounds, pictures, delta)
    return delta if opacity is None else delta / opacity.clamp_min(FAINTEST)


def _lpips_is_narrower(bounds: Budget, cloaked: Tensor, flip: Tensor, settings: DescentSettings) -> Tensor:
    """Of which pictures LPIPS has to be asked, ``(B,)``: all, or those that reach p before q as δ grows.

    LPIPS grows about as the square of δ, ꟻLIP as δ. Where both are near, the penalty on ꟻLIP alone does better.
    """
    if settings.flip is None or not settings.alpha_from:
        return torch.ones_like(flip, dtype=torch.bool)
    with torch.no_grad():
        return bounds.lpips(cloaked) / settings.budget > 1.5 * (flip / settings.flip) ** 2


def _shape(pictures: Tensor, settings: DescentSettings, opacity: Tensor | None) -> Tensor:
    """``(B, 1, H, W)``, 1 on average over what shows: how large δ may be there."""
    if not settings.mask:
        return torch.ones_like(pictures[:, :1])
    busy = (activity(pictures) + settings.floor) ** settings.mask
    if opacity is None:
        usual = busy.mean((1, 2, 3), keepdim=True)
    else:
        usual = (opacity * busy).sum((1, 2, 3), keepdim=True) / opacity.sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return (busy / usual.clamp_min(1e-6)).clamp(max=settings.steepest)
