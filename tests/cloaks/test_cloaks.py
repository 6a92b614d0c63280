"""Behaviour that every cloak owes: it keeps the box and the budget, moves towards its target, and is repeatable."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from velatura.cloaks import (
    ApplicationSettings,
    DecodedSettings,
    GlazeSettings,
    InstantSettings,
    NoiseSettings,
    PhotoGuardSettings,
    Step,
    StyleGuardSettings,
    application,
    decoded,
    glaze,
    instant,
    noise,
    photoguard,
    shuffled,
    styleguard,
)
from velatura.cloaks.budget import as_8_bit, fit, intensity, largest_scale
from velatura.cloaks.cloak import goals
from velatura.diffusion.autoencoder import MiniAutoencoder
from velatura.diffusion.extractors import Extractor, load
from velatura.errors import Cancelled, ContractError, InputError
from velatura.evaluation import METHODS
from velatura.perception.flip import flip
from velatura.perception.lpips import lpips
from velatura.protection import EFFORTS


@pytest.fixture(scope="module")
def mini() -> Extractor:
    return load("mini")


@pytest.fixture
def pictures(make_scene) -> Tensor:
    return torch.cat([make_scene(128, 160, seed) for seed in (1, 2)])


@pytest.fixture
def targets(make_scene) -> Tensor:
    return torch.cat([make_scene(128, 160, seed) for seed in (11, 12)])


SETTINGS = {
    "application": ApplicationSettings(0.05, steps=8, rounds=5),
    "decoded": DecodedSettings(0.05, alpha=5, steps=25, learning_rate=0.015, decay=True, beta2=0.9),
    "glaze": GlazeSettings(0.05, alpha=5, steps=25, learning_rate=0.015, decay=True, beta2=0.9),
    "instant": InstantSettings(0.05),
    "noise": NoiseSettings(0.05),
    "photoguard": PhotoGuardSettings(0.05, steps=8, rounds=5),
    "styleguard": StyleGuardSettings(0.05, steps=8, rounds=5),
}


CLOAKS = {one.__name__: one for one in (application, decoded, glaze, instant, noise, photoguard, styleguard)}


def mean_flip(a: Tensor, b: Tensor) -> Tensor:
    return flip(a, b.clamp(0, 1))


@pytest.mark.parametrize("name", CLOAKS)
def test_box_budget_and_repeatability(name: str, pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    method, settings = CLOAKS[name], SETTINGS[name]
    assert isinstance(settings, type(METHODS[name].settings(EFFORTS["fast"], 0.05)))
    first, second = (method(pictures, targets, extractors=[mini], settings=settings).delta for _ in range(2))
    assert torch.equal(first, second)
    cloaked = pictures + first
    assert cloaked.min() >= 0
    assert cloaked.max() <= 1
    distance = lpips(pictures, as_8_bit(cloaked))
    assert (distance <= 0.05 + 1e-6).all()
    assert (distance > 0.02).all(), "the budget should be used, not only kept"


def test_glaze_moves_the_features_and_noise_does_not(pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    (aim,) = goals([mini], pictures, targets)
    moved = {
        "glaze": glaze(pictures, targets, extractors=[mini], settings=SETTINGS["glaze"]),
        "photoguard": photoguard(pictures, targets, extractors=[mini], settings=SETTINGS["photoguard"]),
        "noise": noise(pictures, settings=SETTINGS["noise"]),
    }
    remaining = {name: float(aim.remaining(pictures + cloak.delta).mean()) for name, cloak in moved.items()}
    assert remaining["glaze"] < 0.8
    assert remaining["photoguard"] < 0.95
    assert remaining["noise"] > 0.95


def test_the_instant_cloak_is_a_cloak_and_a_start_for_one(pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    (aim,) = goals([mini], pictures, targets)
    said: list[Step] = []
    alone = instant(pictures, targets, extractors=[mini], settings=SETTINGS["instant"], on_step=said.append).delta
    other = instant(pictures, targets.flip(0), extractors=[mini], settings=SETTINGS["instant"]).delta
    by_noise = noise(pictures, settings=SETTINGS["noise"]).delta
    left = [float(aim.remaining(pictures + delta).mean()) for delta in (alone, other, by_noise)]
    assert left[0] < min(0.85, left[1], left[2])
    assert [(step.index, step.total) for step in said] == [(1, 1)]
    short = replace(SETTINGS["glaze"], steps=6)
    both = [glaze(pictures, targets, extractors=[mini], settings=short, start=start).delta for start in (None, alone)]
    cold, warm = (float(aim.remaining(pictures + delta).mean()) for delta in both)
    assert warm < cold
    bounded = instant(pictures, targets, extractors=[mini], settings=InstantSettings(0.05, 0.02)).delta
    seen = mean_flip(pictures, pictures + bounded)
    assert ((seen > 0.018) & (seen <= 0.0202)).all()
    assert (mean_flip(pictures, pictures + alone) > 0.022).all()


def test_the_instant_cloak_knows_the_miniature_only(pictures: Tensor, targets: Tensor) -> None:
    stranger = Extractor(MiniAutoencoder(), "stranger", "0" * 64)
    with pytest.raises(InputError, match="made for the model mini only, got stranger"):
        instant(pictures, targets, extractors=[stranger], settings=SETTINGS["instant"])


def test_the_decoded_view_is_moved_further_by_the_cloak_that_asks_for_it(
    pictures: Tensor, targets: Tensor, mini: Extractor
) -> None:
    goal = mini.view(targets)

    def left(delta: Tensor) -> float:
        return float(lpips(mini.view(pictures + delta).detach(), goal.detach()).mean())

    view_only = replace(SETTINGS["decoded"], style=0.0)
    ours = decoded(pictures, targets, extractors=[mini], settings=view_only).delta
    glazed = glaze(pictures, targets, extractors=[mini], settings=SETTINGS["glaze"]).delta
    assert left(ours) < 0.95 * left(glazed) < left(torch.zeros_like(pictures))


def test_a_larger_budget_moves_further(pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    (aim,) = goals([mini], pictures, targets)
    remaining = []
    for budget in (0.03, 0.2):
        settings = GlazeSettings(budget, alpha=5, steps=25, learning_rate=0.015, decay=True, beta2=0.9)
        delta = glaze(pictures, targets, extractors=[mini], settings=settings).delta
        remaining.append(float(aim.remaining(pictures + delta).mean()))
    assert remaining[1] < remaining[0] - 0.05


def test_pictures_of_a_batch_do_not_influence_each_other(pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    settings = GlazeSettings(0.05, steps=6)
    both = glaze(pictures, targets, extractors=[mini], settings=settings).delta
    alone = glaze(pictures[1:], targets[1:], extractors=[mini], settings=settings).delta
    assert (both[1:] - alone).abs().max() < 0.02


def test_ensemble_weighs_extractors_alike(pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    torch.manual_seed(0)
    other = Extractor(MiniAutoencoder(block_out_channels=(12, 16, 16, 16)), "other", "0" * 64)
    aims = goals([mini, other], pictures, targets)
    for aim in aims:
        assert torch.allclose(aim.remaining(pictures), torch.ones(2), atol=1e-4)
        assert aim.remaining(targets).max() < 1e-4
    settings = GlazeSettings(0.1, alpha=5, steps=25, learning_rate=0.015, decay=True, beta2=0.9)
    delta = glaze(pictures, targets, extractors=[mini, other], settings=settings).delta
    for aim in aims:
        assert float(aim.remaining(pictures + delta).mean()) < 0.95


def test_several_resolutions_are_all_moved(pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    settings = GlazeSettings(0.1, alpha=5, steps=25, learning_rate=0.015, decay=True, beta2=0.9, resolutions=(64, 128))
    delta = glaze(pictures, targets, extractors=[mini], settings=settings).delta
    for aim in goals([mini], pictures, targets, (64, 128)):
        assert float(aim.remaining(pictures + delta).mean()) < 0.9


def test_steps_are_reported_and_can_cancel(pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    seen: list[Step] = []

    def stop_at_three(step: Step) -> None:
        seen.append(step)
        if step.index == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        glaze(pictures, targets, extractors=[mini], settings=GlazeSettings(steps=9), on_step=stop_at_three)
    assert [(s.index, s.total) for s in seen] == [(1, 9), (2, 9), (3, 9)]
    assert seen[0].latent_remaining == pytest.approx(1, abs=0.02)


def test_shuffled_takes_another_pictures_delta(pictures: Tensor) -> None:
    deltas = [torch.full((3, 64, 64), 0.1), torch.zeros(3, 64, 64)]
    deltas[1][:, ::2] = 0.1
    cloak = shuffled(pictures[:1], deltas, own=[0], budget=0.05)
    assert cloak.delta.std() > 0.001, "a flat delta is the picture's own"
    distance = lpips(pictures[:1], as_8_bit(pictures[:1] + cloak.delta))
    assert 0.03 < distance <= 0.05
    with pytest.raises(InputError, match="two pictures or more"):
        shuffled(pictures[:1], deltas[:1], own=[0], budget=0.05)


def test_fit_only_shrinks_unless_allowed(pictures: Tensor) -> None:
    direction = torch.full_like(pictures, 0.004)
    assert torch.allclose(fit(pictures, direction, 0.5), (pictures + direction).clamp(0, 1) - pictures)
    assert fit(pictures, direction, 0.05, upper=64).abs().max() > 0.01


@pytest.mark.parametrize(
    ("value", "budget"), [("low", 0.05), ("default", 0.1), ("high", 0.2), ("0.07", 0.07), (0.3, 0.3)]
)
def test_intensity(value: str | float, budget: float) -> None:
    assert intensity(value) == budget


@pytest.mark.parametrize("value", ["medium", "-1", "nan", 2])
def test_intensity_refuses(value: str | float) -> None:
    with pytest.raises(InputError, match="expected low, default, high or an LPIPS budget"):
        intensity(value)


def test_shapes_must_agree(pictures: Tensor, targets: Tensor, mini: Extractor) -> None:
    with pytest.raises(ContractError, match="one shape"):
        glaze(pictures, targets[:1], extractors=[mini], settings=GlazeSettings(steps=1))
    with pytest.raises(InputError, match="one extractor or more"):
        glaze(pictures, targets, extractors=[], settings=GlazeSettings(steps=1))


def test_glaze_keeps_a_bound_on_what_is_seen_and_still_moves(
    pictures: Tensor, targets: Tensor, mini: Extractor
) -> None:
    (aim,) = goals([mini], pictures, targets)
    free = SETTINGS["glaze"]
    bounded = replace(free, flip=0.02, steps=40)
    deltas = {s.flip: glaze(pictures, targets, extractors=[mini], settings=s).delta for s in (free, bounded)}
    seen = {most: mean_flip(pictures, pictures + delta) for most, delta in deltas.items()}
    assert (seen[None] > 0.025).all()
    assert ((seen[0.02] > 0.015) & (seen[0.02] <= 0.0202)).all(), "kept, and used"
    assert float(aim.remaining(pictures + deltas[0.02]).mean()) < 0.97


def test_a_bound_that_weighs_little_at_first_is_overstepped_on_the_way(
    pictures: Tensor, targets: Tensor, mini: Extractor
) -> None:
    farthest = []
    for first in (None, 0.01):
        steps: list[Step] = []
        settings = replace(SETTINGS["glaze"], flip=0.02, steps=20, gamma=3.0, gamma_start=first)
        delta = glaze(pictures, targets, extractors=[mini], settings=settings, on_step=steps.append).delta
        assert (mean_flip(pictures, pictures + delta) <= 0.0202).all()
        farthest.append(max(step.flip for step in steps))
    assert farthest[1] > 1.3 * farthest[0]


def test_a_picture_that_is_looked_at_from_closer_by_is_changed_less(
    pictures: Tensor, targets: Tensor, mini: Extractor
) -> None:
    sizes = []
    for ppd in (67.0, 33.5):
        settings = replace(SETTINGS["glaze"], flip=0.02, ppd=ppd, smooth=True)
        delta = glaze(pictures, targets, extractors=[mini], settings=settings).delta
        assert (flip(pictures, (pictures + delta).clamp(0, 1), ppd) <= 0.0202).all()
        sizes.append(float(delta.pow(2).mean()))
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("power", [0.2, 0.5, 1, 2, 3, 6])
def test_the_largest_scale_is_found_however_distance_grows(power: float) -> None:
    known = torch.tensor([0.01, 0.3, 0.9, 2.0])  # where each reaches the budget of 0.1
    found = largest_scale(lambda s: 0.1 * (s / known) ** power, 0.1, 4)
    assert (found <= known.clamp_max(1) + 1e-6).all()
    assert (found >= 0.85 * known.clamp_max(1)).all()


def test_alexnet_looks_at_an_enlarged_view_only_where_it_is_smaller(
    pictures: Tensor, targets: Tensor, mini: Extractor
) -> None:
    deltas = [
        decoded(pictures, targets, extractors=[mini], settings=DecodedSettings(0.05, steps=2, look=look)).delta
        for look in (0, 96, 256)
    ]
    assert torch.equal(deltas[0], deltas[1])
    assert not torch.equal(deltas[0], deltas[2])


def test_a_mask_takes_the_cloak_from_flat_places_to_busy_ones(
    pictures: Tensor, targets: Tensor, mini: Extractor
) -> None:
    half = pictures.clone()
    half[..., :80] = half[..., :80].mean((2, 3), keepdim=True)
    steps: list[Step] = []
    shares = []
    for mask in (0.0, 1.0):
        settings = GlazeSettings(0.1, steps=6, mask=mask)
        delta = glaze(half, targets, extractors=[mini], settings=settings, on_step=steps.append).delta
        energy = delta.pow(2)
        shares.append(float(energy[..., :72].mean() / energy[..., 88:].mean()))
        assert steps[-1].delta.shape == delta.shape
        assert (half + delta).min() >= 0
        assert (half + delta).max() <= 1
    assert shares[1] < 0.6 * shares[0]
