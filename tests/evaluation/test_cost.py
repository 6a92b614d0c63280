"""Cost and progress of a plan: nothing counted twice, rates learned, kept and read again."""

from __future__ import annotations

import pytest

from velatura.evaluation import cost
from velatura.evaluation.cost import Progress, Task

TASKS = [
    Task("protecting: a", "protect", 10),
    Task("fine-tuning: a", "train", 100),
    Task("fine-tuning: b", "train", 100, 100),
]


def test_what_is_there_costs_nothing() -> None:
    rates = {"protect": 2.0, "train": 0.5}
    assert cost.seconds(TASKS, rates) == 70
    assert cost.unknown(TASKS, {"protect": 2.0}) == [TASKS[1]]
    assert cost.unknown(TASKS[2:], {}) == []


def test_progress_is_over_the_whole_plan_and_learns() -> None:
    now = 0.0
    progress = Progress(TASKS, {"protect": 2.0, "train": 0.5}, clock=lambda: now)
    assert progress("protecting: a", 0, 10) == (0.0, 70.0)
    now = 40.0
    share, left = progress("protecting: a", 10, 10)  # twice as slow as thought
    assert left == 50
    assert share == pytest.approx(40 / 90)
    progress("fine-tuning: a", 1, 100)
    now = 140.0
    share, left = progress("fine-tuning: a", 51, 100)  # 2 s a step
    assert left == pytest.approx(98)
    assert 0 < share < 1
    assert progress.rates == {"protect": 4.0, "train": 2.0}
    now = 240.0
    assert progress("fine-tuning: a", 100, 100)[0] == 1.0


def test_what_comes_later_is_waited_for_too() -> None:
    progress = Progress(TASKS[:1], {"protect": 2.0, "train": 0.5}, TASKS[1:], clock=lambda: 0.0)
    assert progress("protecting: a", 0, 10) == (0.0, 70.0)
    assert progress("protecting: a", 10, 10) == (pytest.approx(20 / 70), 50.0)


def test_a_stage_that_was_skipped_is_not_waited_for() -> None:
    progress = Progress(TASKS[:2], {"protect": 2.0, "train": 0.5}, clock=lambda: 0.0)
    progress("protecting: a", 3, 10)
    assert progress("fine-tuning: a", 0, 100)[1] == 50
    assert progress("something unplanned", 1, 2)[1] == 0


def test_several_stages_at_once_are_timed_together() -> None:
    now = 5.0
    progress = Progress(TASKS[:2], {"protect": 2.0, "train": 0.5}, clock=lambda: 0.0)
    tell = cost.by_share(progress, clock=lambda: now)
    assert tell("2 parts, 2 at a time", 0, 2) == (0.0, 70.0)
    now = 9.0
    assert tell("protecting: a", 1, 1) == (pytest.approx(2 / 7), pytest.approx(10.0))  # 20 of 70 in 4 s


def test_rates_are_kept_on_this_machine() -> None:
    cost.remember({"kept a": 1.5})
    cost.remember({"kept b": 2.5})
    found = cost.known()
    assert (found["kept a"], found["kept b"]) == (1.5, 2.5)
    cost._file().write_text("[1, 2]")
    assert cost.known() == {}
    cost.remember({"kept a": 1.0})
    assert cost.known() == {"kept a": 1.0}


@pytest.mark.parametrize(("seconds", "says"), [(12.3, "12 s"), (150, "2 min"), (5400, "90 min"), (12000, "3 h 20 min")])
def test_durations_are_for_people(seconds: float, says: str) -> None:
    assert cost.duration(seconds) == says
