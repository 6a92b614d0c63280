"""What `velatura lab evaluate` prints: plans, the whole plan's progress, and last lines that anyone can read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from velatura.cli.lab.evaluate import PLAN_NAMES, evaluate_command
from velatura.cli.lab.evaluate_output import show, teller
from velatura.reports.result import Result, Row
from velatura.reports.statistics import wilson


def rows(clean: int, noise: int, cloak: int) -> list[Row]:
    """Of 100 pictures an arm, how many are not in the style."""
    found = []
    for arm, name, budget, count in (
        ("clean", None, None, clean),
        ("noise", None, 0.1, noise),
        ("cloaked", "velatura", 0.1, cloak),
    ):
        about: dict[str, Any] = {
            "artist": "ada",
            "arm": arm,
            "cloak": name,
            "budget": budget,
            "recipe": "full",
            "seed": 0,
        }
        found += [Row(f"style_shift_top{n}", count / 100, 100, *wilson(count, 100), **about) for n in (1, 3)]
        found += [Row(f"style_top{n}", 1 - count / 100, 100, **about) for n in (1, 3)]
    gain = (cloak - noise) / 100
    found.append(
        Row("gain_over_noise_top3", gain, 100, gain - 0.1, gain + 0.1, "ada", "cloaked", "velatura", 0.1, None, "full")
    )
    return found


def result(found: list[Row]) -> Result:
    return Result("mimicry", "0.1.0", 0, "cpu", {"model": "mini", "training": ["a.png"] * 6}, {}, found)


def test_last_lines_are_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    show(result(rows(5, 8, 60)))
    shown = capsys.readouterr()
    assert shown.out.startswith("On your 6 pictures, untouched and altered in two ways, a mimic each was trained")
    assert "on your unprotected pictures, the mimic was in the style in 95%" in shown.out
    assert "misses the style in 52 more of 100 pictures than on noise" in shown.out
    assert "not a guarantee" in shown.out
    assert "flag" not in shown.err
    assert "velatura at 0.1" in shown.err


def test_flags_are_said_and_nothing_is_praised(capsys: pytest.CaptureFixture[str]) -> None:
    show(result(rows(60, 8, 60)))
    shown = capsys.readouterr()
    assert "flag: the mimic is too weak on clean art" in shown.err
    assert "prove nothing about protection" in shown.out
    assert "more of 100 pictures" not in shown.out


def test_a_log_gets_a_line_a_stage_with_the_time_that_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    bar = SimpleNamespace(disable=True, n=0)
    say = teller(lambda what, done, total: (0.25, 7200.0), bar)
    for done in range(4):
        say("fine-tuning: clean", done, 4)
    say("generating: clean", 0, 9)
    assert capsys.readouterr().err.splitlines() == [
        " 25%, 2 h 00 min left: fine-tuning: clean, 0 of 4",
        " 25%, 2 h 00 min left: generating: clean, 0 of 9",
    ]


def test_help_names_every_plan() -> None:
    shown = " ".join(CliRunner().invoke(evaluate_command, ["--help"]).output.split())
    assert PLAN_NAMES in shown
