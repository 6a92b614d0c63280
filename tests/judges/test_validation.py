"""Cross-validation is honest: duplicates stay together, figures are what they are called."""

from __future__ import annotations

import pytest
import torch

from velatura.judges import embedded, style, validation
from velatura.judges.validation import calibration_error, folds, near_duplicates, score, thumbnails
from velatura.judges.views import blur


def test_near_duplicates_are_grouped_mirrored_and_in_chains(make_scene) -> None:
    a, b, c = (make_scene(128, 128, seed) for seed in (1, 2, 3))
    pictures = torch.cat([a, b, (a * 0.8 + 0.1).flip(-1), c, blur(b, 3)])
    groups = near_duplicates(thumbnails(pictures)).tolist()
    assert groups[0] == groups[2]
    assert groups[1] == groups[4]
    assert len(set(groups)) == 3
    line = torch.nn.functional.normalize(torch.eye(256)[:3] + torch.eye(256)[1:4], dim=1)
    assert near_duplicates(line, alike=0.4).tolist() == [0, 0, 0]  # 0 is like 1, 1 like 2, 0 not like 2


def test_score_counts_places_and_confusions() -> None:
    likely = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.3, 0.2, 0.1, 0.4], [0.4, 0.3, 0.2, 0.1]])
    found = score(likely, torch.tensor([0, 1, 3]))
    assert (found.n, found.top1, found.top3) == (3, 1, 2)
    assert found.confusion.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_calibration_error() -> None:
    confidence = torch.tensor([0.75] * 4 + [0.95] * 4)
    right = torch.tensor([True, True, True, False, True, True, False, False])
    assert calibration_error(confidence, right) == pytest.approx(0.5 * (0.95 - 0.5))


def test_folds_find_what_is_there_and_nothing_else() -> None:
    pytest.importorskip("sklearn")
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(20)
    noise = torch.randn(60, 4, 99, generator=draw)
    clear = torch.eye(99)[labels][:, None] * 6 + noise
    trial = clear[:, 0] + 0.1 * torch.randn(60, 99, generator=draw)
    found = folds(clear, labels, torch.arange(60), 1.0, {"trial": trial})
    assert found["plain"].top1 >= 58
    assert found["trial"].top1 >= 57
    # Pairs of duplicates and nothing to learn: ungrouped, the twin gives the answer away.
    twins = noise[:30].repeat(2, 1, 1)
    twin_labels = torch.arange(3).repeat(10).repeat(2)
    together = folds(twins, twin_labels, torch.arange(30).repeat(2), 1.0)["plain"].top1
    apart = folds(twins, twin_labels, torch.arange(60), 1.0)["plain"].top1
    assert together < 32 < apart


def test_cross_validation_of_the_embedded_artists() -> None:
    pytest.importorskip("sklearn")
    names, scores = validation.cross_validate()
    assert scores.confusion.shape == (len(names), len(names))
    assert scores.top1 / scores.n > 0.7
    assert scores.top3 / scores.n > 0.85
    assert scores.ece < 0.1


def test_the_judge_is_indifferent_to_blur_and_sharpening_because_it_has_seen_them() -> None:
    """On real pictures that it has not seen, kept as numbers: views 2 and 3 are sharpened and blurred."""
    pytest.importorskip("sklearn")
    known = embedded.load()
    trials = {"sharpened": known.features[:, 2], "blurred": known.features[:, 3]}
    rows = known.labels, known.groups, known.strength, trials
    seen = {kind: scores.top1 / scores.n for kind, scores in folds(known.features, *rows).items()}
    unseen = {kind: scores.top1 / scores.n for kind, scores in folds(known.features[:, :1], *rows).items()}
    assert min(seen.values()) > seen["plain"] - 0.05
    assert unseen["blurred"] < seen["blurred"] - 0.15


def test_a_victims_pictures_are_grouped_apart_from_others(monkeypatch: pytest.MonkeyPatch, make_scene) -> None:
    known, seen = embedded.load(), {}

    def folds(features, labels, groups, strength):
        seen.update(features=features, labels=labels, groups=groups)
        return {"plain": "scores"}

    monkeypatch.setattr(validation, "folds", folds)
    monkeypatch.setattr(style, "look", lambda picture, *_, **__: picture)
    monkeypatch.setattr(style.vgg, "correlations", lambda picture: known.space.shift.expand(6, -1))
    pictures = torch.cat([make_scene(128, 128, seed) for seed in (1, 2, 3, 4, 5, 6, 7, 7)])
    names, scores = validation.cross_validate({"someone": pictures})
    assert scores == "scores"
    own = seen["groups"][seen["labels"] == names.index("someone")]
    assert len(seen["groups"]) == len(seen["features"]) == len(known.labels) + 8
    assert not set(own.tolist()) & set(known.groups.tolist())
    assert own[-1] == own[-2]
