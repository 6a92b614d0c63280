"""The budgets and what else keeps a change from being seen: flat places, patterns of two pixels, colours of no kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from velatura.cloaks import GlazeSettings, glaze
from velatura.cloaks.budget import Budget, as_8_bit, within
from velatura.cloaks.cloak import Goal, fine
from velatura.diffusion.extractors import Extractor, load
from velatura.images.kinds import Kind, in_its_colours
from velatura.perception.flip import flip
from velatura.perception.lpips import lpips

SHORT = GlazeSettings(0.1, alpha=0, steps=12, learning_rate=0.02, decay=True, beta2=0.9, flip=0.06, gamma_start=0.05)
KIND = Kind(False, None, False, "colour picture", None, None, False, None)


@pytest.fixture(scope="module")
def mini() -> Extractor:
    return load("mini")


def noise(like: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("most_lpips", "most_flip"), [(0.05, None), (0.3, 0.03), (0.02, 0.5), (0.1, 0.08)])
def test_the_largest_change_within_both_budgets(make_scene, most_lpips: float, most_flip: float | None) -> None:
    pictures = torch.cat([make_scene(64, 96, seed) for seed in (1, 2)])
    budget = Budget(pictures, most_lpips, most_flip)
    changed = pictures + within(budget, pictures, 0.05 * noise(pictures), upper=10)
    assert changed.min() >= 0
    assert changed.max() <= 1
    saved = as_8_bit(changed)
    shares = [lpips(pictures, saved) / most_lpips]
    if most_flip is not None:
        shares.append(flip(pictures, saved) / most_flip)
    used = torch.stack(shares).amax(0)
    assert ((used > 0.9) & (used <= 1.001)).all(), "of each picture one of both is used up, and none overdrawn"
    assert torch.allclose(budget.used(saved), used, atol=1e-3)


def test_what_keeps_the_budget_is_left_as_it_is(make_scene) -> None:
    pictures = 0.1 + 0.8 * make_scene(64, 64, 1)
    little = 0.005 * noise(pictures)
    assert torch.allclose(within(Budget(pictures, 0.5, 0.5), pictures, little), little, atol=1e-6)


def test_of_a_picture_that_shows_in_part_only_that_part_counts(make_scene) -> None:
    """The same change looks as large whatever lies around it."""
    inside, around = make_scene(64, 64, 1), torch.ones(1, 3, 128, 128)
    alpha = torch.zeros(1, 1, 128, 128)
    around[..., 32:96, 32:96], alpha[..., 32:96, 32:96] = inside, 1
    delta = 0.05 * noise(inside)
    wide = torch.zeros_like(around)
    wide[..., 32:96, 32:96] = delta
    alone, framed = Budget(inside, 0.1, 0.05), Budget(around, 0.1, 0.05, opacity=alpha)
    unaware = Budget(around, 0.1, 0.05)
    one, other, diluted = (
        float(budget.flip((x + d).clamp(0, 1)))
        for budget, x, d in ((alone, inside, delta), (framed, around, wide), (unaware, around, wide))
    )
    assert other == pytest.approx(one, rel=0.1)
    assert diluted < 0.4 * one


def half_flat(make_scene) -> Tensor:
    picture = 0.2 + 0.6 * make_scene(64, 128, 1)
    picture[..., 64:] = 0.8
    return picture


def test_without_a_floor_flat_places_are_left_alone(make_scene, mini: Extractor) -> None:
    picture, target = half_flat(make_scene), make_scene(64, 128, 11)
    found = {}
    for floor in (0.0, 2.0):
        settings = replace(SHORT, mask=1.0, floor=floor, smooth=True)
        found[floor] = glaze(picture, target, extractors=[mini], settings=settings).delta.abs()
    flat, busy = slice(72, 128), slice(0, 60)
    assert found[0.0][..., flat].max() < 0.5 / 255, "not one step of 8 bits"
    assert found[0.0][..., busy].mean() > 0.005
    assert found[2.0][..., flat].max() > 1 / 255


def two_pixel_share(delta: Tensor) -> float:
    """How much of a δ's energy lies in patterns of two pixels, along either side."""
    power = torch.fft.fft2(delta).abs().pow(2)
    across, down = (torch.fft.fftfreq(n).abs() > 0.45 for n in (delta.shape[-1], delta.shape[-2]))
    return float(power[..., down[:, None] | across[None, :]].sum() / power.sum())


def test_a_smooth_cloak_has_no_pattern_of_two_pixels(make_scene, mini: Extractor) -> None:
    picture, target = 0.2 + 0.6 * make_scene(64, 96, 1), make_scene(64, 96, 11)
    rough, smooth = (
        two_pixel_share(glaze(picture, target, extractors=[mini], settings=replace(SHORT, smooth=smooth)).delta)
        for smooth in (False, True)
    )
    assert smooth < 0.003
    assert rough > 3 * smooth


@pytest.mark.parametrize("start", [False, True])
def test_a_grey_picture_stays_grey_and_is_moved(make_scene, mini: Extractor, start: bool) -> None:
    picture = make_scene(64, 96, 1).mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
    target = make_scene(64, 96, 11)
    kind = replace(KIND, grey=True)
    delta = glaze(
        picture, target, extractors=[mini], settings=SHORT, start=0.02 * noise(picture) if start else None,
        colour=lambda pictures, change: in_its_colours(kind, pictures, change),
    ).delta  # fmt: skip
    assert delta.abs().mean() > 0.002
    assert (delta - delta[:, :1]).abs().max() < 1e-6
    assert (flip(picture, as_8_bit(picture + delta)) <= 0.0606).all()


def test_a_picture_in_one_hue_stays_on_its_line_of_tones(make_scene, mini: Extractor) -> None:
    luma = 0.15 + 0.7 * make_scene(64, 96, 1).mean(1, keepdim=True)
    tint = torch.tensor([1.1, 0.99, 0.76]).view(1, 3, 1, 1)  # of luma about 1
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    tint = tint / (weights * tint).sum()
    line = torch.linspace(0, 1, 33)
    tones = tuple(tuple(float(v) for v in (y * tint.flatten()).clamp(0, 1)) for y in line)
    kind = replace(KIND, tones=tones, name="one hue")
    picture = (luma * tint).clamp(0, 1)
    delta = glaze(
        picture, make_scene(64, 96, 11), extractors=[mini], settings=SHORT,
        colour=lambda pictures, change: in_its_colours(kind, pictures, change),
    ).delta  # fmt: skip
    changed = picture + delta
    inside = (changed.amax(1) < 0.98)[:, None]
    ratio = changed / (weights * changed).sum(1, keepdim=True)
    assert delta.abs().mean() > 0.002
    assert ((ratio - tint).abs() * inside).max() < 0.02


def test_lpips_is_asked_late_and_only_where_it_is_the_narrower_bound(make_scene, mini: Extractor) -> None:
    """Each picture by itself: LPIPS costs more than all the rest of a step."""
    pictures, targets = (torch.cat([make_scene(64, 64, seed) for seed in seeds]) for seeds in ((1, 2), (11, 12)))
    asked: list[list[bool]] = []

    def run(lpips_bound: float) -> Tensor:
        asked.append([])
        recipe = replace(SHORT, budget=lpips_bound, flip=0.1, alpha=5, alpha_from=0.5)
        return glaze(
            pictures,
            targets,
            extractors=[mini],
            settings=recipe,
            on_step=lambda s: asked[-1].append(s.lpips == s.lpips),
        ).delta

    narrow, wide = run(0.005), run(0.9)
    assert asked[0] == [False] * 6 + [True] * 6
    assert not any(asked[1]), "the other bound is the narrower one by far"
    assert (narrow != wide).any()
    without = glaze(pictures, targets, extractors=[mini], settings=replace(SHORT, budget=0.9, flip=0.1)).delta
    assert torch.equal(wide, without), "nothing has changed where it is not asked"


def test_detail_knows_nothing_of_tone_and_all_of_strokes(make_scene, mini: Extractor) -> None:
    picture, target = make_scene(128, 128, 1), make_scene(128, 128, 11)
    goal = Goal(mini, picture, target)
    toned = goal.clean + torch.tensor([0.5, -1.0, 0.3, 2.0]).view(1, 4, 1, 1)
    assert goal.detail_by_family(toned).sub(1).abs().max() < 1e-3, "as far as before, whatever the tone"
    assert goal.detail_by_family(goal.clean + fine(goal.features - goal.clean)).max() < 0.2
    recipe = replace(SHORT, budget=1.0, flip=0.08, detail=1.0)
    delta = glaze(picture, target, extractors=[mini], settings=recipe).delta
    assert goal.detail_by_family(goal.encode(picture + delta)).max() < 0.9


def test_detail_is_what_differs_from_its_surroundings() -> None:
    flat = torch.full((1, 4, 16, 16), 3.0)
    assert fine(flat).abs().max() < 1e-5
    spot = flat.clone()
    spot[0, 0, 8, 8] += 1
    assert fine(spot)[0, 0, 8, 8] > 0.8
    assert fine(torch.ones(1, 4, 2, 2)).shape == (1, 4, 2, 2), "also of the smallest pictures"
