"""Detectors: what they can tell apart they do, what they cannot they do not, and the AUC says which."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from velatura.countermeasures import detect
from velatura.diffusion import extractors
from velatura.errors import InputError
from velatura.reports.statistics import auc

metrics = pytest.importorskip("sklearn.metrics")


def cloaked(picture: Tensor) -> Tensor:
    """A fine screen of small amplitude: what the eye overlooks and a spectrum does not."""
    rows = torch.arange(picture.shape[-2]).view(-1, 1) % 2
    columns = torch.arange(picture.shape[-1]).view(1, -1) % 2
    return (picture + 0.04 * ((rows + columns) % 2 - 0.5) * torch.tensor([1.0, -1, 1]).view(3, 1, 1)).clamp(0, 1)


@pytest.fixture(scope="module")
def found(make_scene: Callable[..., Tensor]) -> dict[str, detect.Features]:
    mini = extractors.load("mini")
    pictures = [make_scene(48, 52, seed) for seed in range(36)]
    sets = {"learn": pictures[:16], "clean": pictures[16:26], "suspects": pictures[26:]}
    sets |= {"others": [cloaked(x) for x in sets["learn"]], "cloaked": [cloaked(x) for x in sets["suspects"]]}
    return {name: detect.features(part, mini) for name, part in sets.items()}


@pytest.mark.parametrize("name", detect.DETECTORS)
def test_what_there_is_to_see_is_seen_and_nothing_else(name: str, found: dict[str, detect.Features]) -> None:
    def scores(part: str) -> list[float]:
        return detect.scores(name, found[part], found["learn"], found["others"]).tolist()

    assert scores("clean") == scores("clean"), "the same twice"
    nothing, _, _ = auc(scores("suspects"), scores("clean"))
    assert 0.15 < nothing < 0.85, "clean pictures are not told from clean ones"
    area, low, high = auc(scores("cloaked"), scores("clean"))
    assert low <= area <= high
    if name in ("spectrum", "trained"):
        assert low > 0.7
    if name == "forest":  # it splits on one feature at a time, and few of them tell
        assert area > 0.6


def test_spectrum_finds_frequencies_where_they_are() -> None:
    wave = torch.sin(2 * torch.pi * 0.25 * torch.arange(64.0)).expand(64, 64)
    picture = (0.5 + 0.3 * wave).expand(1, 3, 64, 64).contiguous()
    rings = detect.spectrum(picture).reshape(3, detect.BANDS)
    assert int(rings[0].argmax()) in (5, 6)  # a quarter of the sampling rate: half way to the edge
    assert rings[0].max() > rings[1:].max() + 5, "grey has no colour"


def test_the_bar_is_set_by_artists_of_whom_nothing_was_learned(found: dict[str, detect.Features]) -> None:
    clean, twins = found["learn"], found["others"]
    artists = ["ada"] * 8 + ["bea"] * 8
    scores, bar = detect.judged("trained", found["cloaked"], clean, twins, artists)
    ada, bea = ({kind: rows[part] for kind, rows in clean.items()} for part in (slice(0, 8), slice(8, 16)))
    adas = {kind: rows[:8] for kind, rows in twins.items()}
    assert scores.tolist() == detect.scores("trained", found["cloaked"], ada, adas).tolist()
    assert bar == pytest.approx(np.quantile(detect.scores("trained", bea, ada, adas), 0.9))
    alternating = detect.judged("trained", found["cloaked"], clean, twins, [""] * 16)[0]
    assert alternating.tolist() != scores.tolist()


def test_refusals(found: dict[str, detect.Features]) -> None:
    few = {kind: rows[:5] for kind, rows in found["learn"].items()}
    with pytest.raises(InputError, match="8 clean pictures or more"):
        detect.scores("density", found["clean"], few)
    with pytest.raises(InputError, match="cloaked pictures or more of other artists"):
        detect.scores("trained", found["clean"], found["learn"])
    with pytest.raises(InputError, match="expected one of reconstruction"):
        detect.scores("magic", found["clean"], found["learn"])


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_auc_against_scikit_learn_and_its_interval_against_repetition(shift: float) -> None:
    """95 % intervals hold the true area (by a large sample) in about 95 % of repetitions."""
    draw = np.random.default_rng(1)
    held, true = 0, 0.5 * (1 + np.vectorize(__import__("math").erf)(shift / 2))
    for _ in range(200):
        high, low = draw.normal(shift, 1, 12), draw.normal(0, 1, 15)
        area, lower, upper = auc(high.tolist(), low.tolist())
        held += lower <= true <= upper
    assert area == pytest.approx(metrics.roc_auc_score(np.repeat([1, 0], [12, 15]), np.concatenate([high, low])))
    assert 0.91 <= held / 200 <= 1


def test_auc_of_perfect_and_of_tied_scores_is_no_point() -> None:
    area, low, high = auc([3, 4, 5], [0, 1, 2])
    assert (area, high) == (1, 1)
    assert 0.3 < low < 0.9
    assert auc([1, 1], [1, 1, 1])[0] == 0.5
    with pytest.raises(InputError, match="both classes"):
        auc([], [1])
