"""Statistics of ratings. All ratings here are SYNTHETIC: drawn by formula, no person's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("krippendorff", reason="needs the extra web")
from velatura.errors import InputError
from velatura.reports.result import Row
from velatura.reports.statistics import clustered_share, wilson
from velatura.study.statistics import LEVELS, Rating, Rules, agreement, evaluate


def synthetic(
    level: Callable[[int, str, int], int], raters: int = 12, sets: int = 5, seconds: float = 20
) -> list[Rating]:
    return [
        Rating(str(rater), f"{arm}{i}", "someone", arm, level(rater, arm, i), seconds)
        for rater in range(raters)
        for arm in ("clean", "noise", "cloaked")
        for i in range(sets)
    ]


def asked(ratings: list[Rating], count: int = 15) -> dict[str, int]:
    return {rating.rater: count for rating in ratings}


def find(rows: list[Row], metric: str, arm: str) -> Row:
    (row,) = [row for row in rows if row.metric == metric and row.arm == arm and row.artist is None]
    return row


def test_psr_is_the_share_of_the_two_lowest_levels() -> None:
    levels = {"clean": (1, 3, 4, 5, 5), "noise": (3, 3, 3, 2, 4), "cloaked": (1, 2, 2, 1, 3)}
    ratings = synthetic(lambda rater, arm, i: levels[arm][i])
    found = evaluate(ratings, asked(ratings))
    assert LEVELS[:2] == ("not successful at all", "not very successful")
    assert [find(found.rows, "psr", arm).value for arm in levels] == pytest.approx([0.2, 0.2, 0.8])
    assert find(found.rows, "psr", "cloaked").n == 60
    assert find(found.rows, "mean_level", "cloaked").value == pytest.approx(1.8)
    assert find(found.rows, "psr_gain_over_noise", "cloaked").value == pytest.approx(0.6)
    assert found.alpha == pytest.approx(1.0)  # all raters say the same
    assert found.flags == []


def test_the_interval_is_wider_than_if_answers_were_independent() -> None:
    """Each rater says the same of everything: twelve opinions, not sixty."""
    ratings = synthetic(lambda rater, arm, i: 1 if rater % 2 else 5)
    row = find(evaluate(ratings, asked(ratings)).rows, "psr", "cloaked")
    assert row.low is not None
    assert row.high is not None
    low, high = wilson(30, 60)
    assert row.low < low - 0.1
    assert row.high > high + 0.1


def test_raters_who_do_not_attend_are_left_out_by_the_rules() -> None:
    good = synthetic(lambda rater, arm, i: 2)
    careless = [Rating("x", f"c{i}", "someone", "", 1, 20, expected=(5,)) for i in range(2)]
    hasty = [Rating("y", f"clean{i}", "someone", "clean", 5, 0.5) for i in range(15)]
    gone = [Rating("z", f"clean{i}", "someone", "clean", 5, 20) for i in range(3)]
    once = [Rating("0", "c0", "someone", "", 1, 20, expected=(5,))]
    ratings = good + careless + hasty + gone + once
    found = evaluate(ratings, asked(ratings) | {"x": 2})
    assert set(found.excluded) == {"x", "y", "z"}
    assert "attention" in found.excluded["x"]
    assert "0.5 s" in found.excluded["y"]
    assert "3 of 15" in found.excluded["z"]
    assert find(found.rows, "psr", "clean").value == 1.0  # theirs do not count, nor do checks
    assert evaluate(ratings, asked(ratings), Rules(failed_checks=0)).excluded.keys() >= {"0"}


def test_who_answered_nothing_is_no_rater() -> None:
    ratings = synthetic(lambda rater, arm, i: 2)
    found = evaluate(ratings, asked(ratings) | {"began and left": 15})
    assert (found.raters, found.excluded) == (12, {})


def test_flags_say_what_a_study_cannot_show() -> None:
    few = synthetic(lambda rater, arm, i: 1 + (rater + i) % 5, raters=4)
    found = evaluate(few, asked(few))
    assert any("4 raters" in flag for flag in found.flags)
    assert any("agree little" in flag for flag in found.flags)
    weak = synthetic(lambda rater, arm, i: 1)
    assert any("too weak" in flag for flag in evaluate(weak, asked(weak)).flags)
    alone = [rating for rating in weak if rating.arm == "cloaked"]
    flags = " ".join(evaluate(alone, asked(alone, 5)).flags)
    assert "no clean arm" in flags
    assert "no noise arm" in flags


def test_agreement_is_krippendorffs() -> None:
    """His own example of ordinal data with gaps (2011, section C): alpha is .815."""
    gap = None
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, gap, gap, gap],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, gap, 3],
        [gap, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, gap],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, gap],
    ]
    ratings = [
        Rating(str(rater), str(unit), "a", "clean", level, 9)
        for rater, row in enumerate(table)
        for unit, level in enumerate(row)
        if level is not None
    ]
    assert agreement(ratings) == pytest.approx(0.815, abs=0.001)
    assert agreement(ratings[:1]) is None
    assert agreement([]) is None


def test_clustered_intervals_hold_what_they_promise() -> None:
    """Coverage over 600 synthetic studies whose raters differ: nominal 95 %, and the unclustered interval's is poor."""
    draw = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.95):
        hits, naive = 0, 0
        for _ in range(600):
            leanings = draw.beta(4 * share, 4 * (1 - share), size=12)
            counts = [(int(draw.binomial(20, p)), 20) for p in leanings]
            _, low, high = clustered_share(counts)
            hits += low <= share <= high
            plain = wilson(sum(k for k, _ in counts), 240)
            naive += plain[0] <= share <= plain[1]
        assert hits / 600 > 0.91
        assert naive / 600 < 0.85


def test_clustered_share_at_the_ends() -> None:
    share, low, high = clustered_share([(0, 9)] * 12)
    assert (share, low) == (0.0, 0.0)
    assert 0.2 < high < 0.4  # twelve raters, not a hundred and eight
    with pytest.raises(InputError, match="two groups"):
        clustered_share([(1, 2)])
