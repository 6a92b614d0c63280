"""The loop that optimising cloaks share: Adam on δ, penalties above the budgets, and a last step back into them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.cloaks.budget import fit, within_cast
from velatura.cloaks.cloak import Objective, OnStep, Step
from velatura.cloaks.closer import Closer
from velatura.diffusion.extractors import Extractor
from velatura.perception.color_difference import cell_difference, cells
from velatura.perception.lpips import load
from velatura.perception.texture import activity

LEAST_ACTIVITY = 2.0  # L*: even flat places take some of the cloak
PART = 512  # px; LPIPS of a larger file is kept in parts of about this size
FAINTEST = 1e-3  # opacity below which a δ would have to be huge to be seen; less than one step of 8 bits


@dataclass(frozen=True)
class DescentSettings:
    """The defaults are those of the published re-implementation: α 30, Adam at 0.01, 500 steps.

    budget: p, LPIPS (AlexNet) between original and cloaked picture. alpha: weight of the penalty above p. alpha_start:
    where given, the weight grows geometrically from it to alpha: a short run moves first and settles on p later, where
    a wall from the start would stop it (results/effort.json). beta2: Adam's second decay; 0.9 forgets within ten steps
    what the penalty's large gradients were.
    learning_rate: Adam's, in units of the [0, 1] picture. decay: cosine to zero over the run, which lets short runs
    take large steps and still settle on the budget; the published recipe has none.
    cast: q, colour cast (ΔE, ``perception.color_difference.colour_cast``); None, as published, has no bound.
    gamma: weight of the penalty above q, in units of q; it grows from gamma_start where that is given, as alpha does.
    grey: δ is the same in all channels, as a grey file will hold it.
    mask: exponent of the local activity that steps are scaled with: where the picture is busy it hides a change
    (results/cloaks/objectives.json).
    """

    budget: float = 0.05
    alpha: float = 30.0
    alpha_start: float | None = None
    steps: int = 500
    learning_rate: float = 0.01
    decay: bool = False
    beta2: float = 0.999
    cast: float | None = None
    gamma: float = 3.0
    gamma_start: float | None = None
    grey: bool = False
    mask: float = 0.0


def descend(
    pictures: Tensor,
    objective: Objective,
    extractor: Extractor,
    settings: DescentSettings,
    on_step: OnStep | None,
    opacity: Tensor | None = None,
    detail: Tensor | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """δ ``(B, 3, H, W)``, pictures + δ in [0, 1]: min of the objective + α·max(LPIPS − p, 0) + γ·max(cast/q − 1, 0).

    Pictures of a batch do not influence each other. The result is scaled down where the penalties left it above p or q.
    LPIPS runs in ``extractor``'s precision. ``opacity`` ``(B, 1, H, W)`` in [0, 1]: of δ, that share is seen.
    ``detail``: the pictures larger, as they are in files; LPIPS is then kept to p enlarged, too (``cloaks.closer``).
    ``start``: δ ``(B, 3, H, W)`` to begin from, as it is seen (times ``opacity``), with ``mask`` less of it where steps
    are small; zero if left out.
    """
    shape = _shape(pictures, settings.mask)
    seen = shape if opacity is None else shape * opacity
    perceptual = load("alex", str(pictures.device))
    with torch.no_grad(), extractor.autocast():
        reference = perceptual.features(pictures)
        closer = None if detail is None else Closer(detail, pictures.shape[-2:], perceptual, PART)
    colours = cells(pictures)
    begun = torch.zeros_like(pictures)
    if start is not None:  # where steps are small, it would take long to be rid of what shows
        begun = (start * shape.clamp(max=1) / seen.clamp_min(FAINTEST)).clamp(-1, 1)
    delta = (begun.mean(1, keepdim=True) if settings.grey else begun.clone()).requires_grad_(True)
    optimizer = torch.optim.Adam([delta], lr=settings.learning_rate, betas=(0.9, settings.beta2))
    for index in range(settings.steps):
        done = index / max(1, settings.steps - 1)
        alpha = _grown(settings.alpha_start, settings.alpha, done)
        if settings.decay:
            rate = settings.learning_rate * (0.5 + 0.5 * math.cos(math.pi * index / settings.steps))
            optimizer.param_groups[0]["lr"] = rate
        cloaked = pictures + seen * delta
        wanted, remaining = objective(cloaked)
        with extractor.autocast():
            distance = perceptual.compare(reference, perceptual.features(cloaked)).float()
            enlarged = None if closer is None else closer(cloaked - pictures).float()
        over = (distance - settings.budget).clamp_min(0)
        if enlarged is not None:
            over = over + (enlarged - settings.budget).clamp_min(0).mean((1, 2))
        loss = (wanted + alpha * over).sum()
        if settings.cast is not None:
            excess = (cell_difference(colours, cells(cloaked)) / settings.cast - 1).clamp_min(0)
            loss = loss + (_grown(settings.gamma_start, settings.gamma, done) * excess).sum()
        (delta.grad,) = torch.autograd.grad(loss, delta)
        optimizer.step()
        with torch.no_grad():
            inside = ((pictures + seen * delta).clamp(0, 1) - pictures)[:, : delta.shape[1]]
            delta.copy_(inside / seen.clamp_min(FAINTEST))
        if on_step is not None:
            total, far, visible = (float(v.detach().mean()) for v in (loss / len(pictures), remaining, distance))
            step = (shape * delta.detach()).expand_as(pictures)
            on_step(Step(index + 1, settings.steps, total, far, visible, step))
    delta = fit(pictures, (seen * delta.detach()).expand_as(pictures), settings.budget)
    if settings.cast is not None:
        delta = within_cast(pictures, delta, settings.cast)
    return delta if opacity is None else delta / opacity.clamp_min(FAINTEST)


def _grown(first: float | None, last: float, done: float) -> float:
    """A penalty's weight, once ``done`` of the run is over: it grows geometrically."""
    return last if first is None else first * (last / first) ** done


def _shape(pictures: Tensor, mask: float) -> Tensor:
    """``(B, 1, H, W)``, 1 on average over a picture: how large δ's steps are there."""
    if not mask:
        return torch.ones_like(pictures[:, :1])
    busy = (activity(pictures) + LEAST_ACTIVITY) ** mask
    return busy / busy.mean((1, 2, 3), keepdim=True)
