"""Pictures that are transparent in places: δ goes where it is seen, and counts on any ground."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from velatura.cloaks import InstantSettings, glaze
from velatura.cloaks.budget import Budget, within
from velatura.cloaks.cloak import Goal
from velatura.cloaks.instant import beginning
from velatura.diffusion.extractors import load
from velatura.perception.lpips import lpips
from velatura.protection.settings import SHORT

SETTINGS = replace(SHORT, budget=0.1, flip=0.12, steps=20, mask=0.0, smooth=False)


def test_a_figure_on_nothing_is_cloaked_as_seen_over_white_and_black(make_scene) -> None:
    mini = load("mini")
    colour, aim = make_scene(64, 96, 1), make_scene(64, 96, 11)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 96), indexing="ij")
    alpha = ((0.7 - torch.hypot(x, y)) / 0.1).clamp(0, 1)[None, None]

    def over(picture: Tensor, ground: float) -> Tensor:
        return alpha * picture + (1 - alpha) * ground

    def left(change: Tensor) -> float:
        goals = [(over(colour, g), Goal(mini, over(colour, g), over(aim, g))) for g in (0.0, 1.0)]
        return sum(float(goal.remaining((seen + change).clamp(0, 1))) for seen, goal in goals) / 2

    white, target = over(colour, 1.0), over(aim, 1.0)
    found = {
        name: glaze(white, target, extractors=[mini], settings=SETTINGS, opacity=opacity).delta
        for name, opacity in (("heeded", alpha), ("ignored", None))
    }
    delta = found["heeded"]
    assert delta[(alpha == 0).expand_as(delta)].abs().max() == 0
    assert 0.02 < float(lpips(white, (white + alpha * delta).clamp(0, 1))) <= 0.1
    # At equal visibility of what shows; whoever does not know what shows spends the budget on all of it.
    ignored = within(Budget(white, 0.1, 0.12, opacity=alpha), white, alpha * found["ignored"])
    with torch.no_grad():
        assert left(alpha * delta) < left(ignored) - 0.01
    assert delta.abs().max() < 0.6  # not huge where hardly any of it is seen
    start = beginning(white, target, settings=InstantSettings(0.1, 0.12), opacity=alpha)
    warm = glaze(white, target, extractors=[mini], settings=SETTINGS, opacity=alpha, start=start).delta
    assert warm.abs().max() < 0.6
    short = [
        glaze(white, target, extractors=[mini], settings=replace(SETTINGS, steps=4), opacity=alpha, start=begun).delta
        for begun in (None, start)
    ]
    with torch.no_grad():
        assert left(alpha * short[1]) < left(alpha * short[0]) - 0.01, "what it begins from helps"
