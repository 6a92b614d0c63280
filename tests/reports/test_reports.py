"""Reports: JSON that any reader accepts, intervals that cover, sheets that show all, honest verdicts."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from velatura.errors import InputError
from velatura.reports.result import Result, Row, to_json, write
from velatura.reports.sheet import amplified, legible, sheet
from velatura.reports.statistics import mean_interval, wilson
from velatura.reports.verdict import DISTILLED, OTHERS, jod_lost, unknown, verdict


def test_result_is_json_with_the_houses_fields(tmp_path: Path) -> None:
    row = Row("decoded_shift", 0.123456789, 5, 0.1, float("nan"), cloak="glaze", budget=0.05)
    path = tmp_path / "deep/result.json"
    Result("cloaks", "0.1.0", 0, "cpu", {"steps": 3}, {"mini": "ab"}, [row], ["a flag"]).save(path)
    tree = json.loads(path.read_text())
    assert set(tree) >= {"experiment", "command", "version", "seed", "device", "settings", "weights", "rows", "flags"}
    assert tree["rows"][0]["value"] == 0.12346
    assert tree["rows"][0]["high"] is None
    assert tree["rows"][0]["countermeasure"] is None
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_json_has_no_nan() -> None:
    assert json.loads(to_json({"a": float("inf"), "b": (1.0, "ü")})) == {"a": None, "b": [1.0, "ü"]}


def test_a_name_that_is_no_text_costs_no_result(tmp_path: Path) -> None:
    text = to_json({"file": "\udcff.png"})
    assert json.loads(text.encode()) == {"file": "\udcff.png"}
    assert to_json("ü", ascii=True) == '"\\u00fc"\n'
    write("\udcff", tmp_path / "page.md")
    assert (tmp_path / "page.md").read_bytes() == b"\\udcff"


@pytest.mark.parametrize("n", [2, 5, 30, 100])
def test_interval_covers_the_true_mean_about_95_times_in_100(n: int) -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        _, low, high = mean_interval(generator.normal(1.0, 1.0, n).tolist())
        hits += low <= 1.0 <= high
    assert 0.93 <= hits / 2000 <= 0.97


def test_no_letter_of_latin_script_becomes_a_box_on_a_sheet() -> None:
    assert legible("Albrecht Dürer, Łódź, ΔE 3 · e\u0301te\u0301") == "Albrecht Durer, Lodz, ΔE 3 · ete"
    assert legible("plain: 100 %") == "plain: 100 %"


def test_sheet_shows_every_panel_in_its_place() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    panels = [(f"panel {i}", np.full((80, 120, 3), c, np.uint8)) for i, c in enumerate(colours)]
    page = np.asarray(Image.open(io.BytesIO(sheet(panels, title="t", lines=["a line " * 40]))))
    for colour in colours:
        assert (page == np.array(colour)).all(-1).sum() == 80 * 120
    assert page.shape[1] < 3 * 120 + 5 * 16


def test_amplified_is_grey_where_nothing_changed() -> None:
    pixels = amplified(np.array([[[0, 0.01, -1]]], np.float32), 10)
    assert pixels.tolist() == [[[128, 153, 0]]]


def told(**changes: Any) -> dict[str, Any]:
    """A report as the verdict reads it."""
    seen = {"sd15": (0.31, 0.02), "sdxl": (0.24, -0.01), "mini": (-0.02, 0.0)}
    return {
        "kind": {"name": "colour picture", "grey": False, "transparent": False, "nothing": None},
        "settings": {"budget": 0.1},
        "figures": {"jod_lost": 0.3},
        "families": {
            name: {"progress": far, "progress_noise": noise, "seen_by": "surrogate"}
            for name, (far, noise) in seen.items()
        },
        "style": {"name": "pieter-bruegel", "artist": "Pieter Bruegel"},
    } | changes


def test_the_verdict_says_what_models_and_people_see() -> None:
    found = verdict(told())
    assert (found.word, found.advice) == ("protected", "")
    assert found.sentence == (
        "Stable Diffusion 1 and 2 see 31% of the way to Pieter Bruegel, SDXL 24%, mini 0%; "
        "a viewer hardly sees the change (0.3 JOD, estimated)"
    )
    one = {"sdxl": {"progress": 0.4, "progress_noise": 0.0, "seen_by": "sdxl"}}
    assert verdict(told(families=one)).sentence.startswith("SDXL sees 40% of the way to Pieter Bruegel; a viewer ")
    for words in ("strong", "fair", "weak"):
        assert words not in found.sentence, "withheld until the laboratory has set what they mean"


@pytest.mark.parametrize(
    ("changes", "word", "says"),
    [
        ({"settings": {"budget": 0}}, "copied", "a copy without a cloak"),
        (
            {"kind": told()["kind"] | {"nothing": "it is one colour"}, "families": {}, "style": None},
            "nothing",
            "there is nothing to protect: it is one colour",
        ),
        (
            {"families": {"sd15": {"progress": 0.11, "progress_noise": 0.10, "seen_by": "sd15"}}},
            "unprotected",
            "models see no more in it than in noise that is as visible (colour picture)",
        ),
    ],
)
def test_what_is_not_protected_says_why(changes: dict[str, Any], word: str, says: str) -> None:
    found = verdict(told(**changes))
    assert found.word == word
    assert says in found.sentence
    assert "--" not in found.advice, "the same words stand on a page that has no options"
    assert bool(found.advice) == (word == "unprotected")


@pytest.mark.parametrize(
    ("lost", "says"),
    [(0.0, "cannot see"), (0.6, "hardly sees"), (1.4, "when looking for it"), (3.0, "sees the change (3.0 JOD")],
)
def test_what_a_viewer_sees(lost: float, says: str) -> None:
    assert says in verdict(told(figures={"jod_lost": lost})).sentence


def test_more_is_seen_of_a_larger_change_and_in_a_picture_without_colours() -> None:
    assert jod_lost(0, 0) == 0
    assert jod_lost(0.1, 0.05) < jod_lost(0.11, 0.05) < jod_lost(0.11, 0.06)
    assert jod_lost(0.1, 0.05) < jod_lost(0.1, 0.05, colourless=True)


def test_what_is_not_known_is_said_of_the_models_that_were_looked_at() -> None:
    assert unknown([]) is None, "of a copy there are no figures"
    assert unknown(["surrogate"]) == unknown(["sd15", "taesdxl"]) == DISTILLED
    assert unknown(["sd15", "sdxl"]) == unknown(["mini"]) == unknown(["my/own/vae"]) == OTHERS


def test_wilson_interval_of_a_share() -> None:
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert wilson(15, 50) == pytest.approx((0.1910, 0.4375), abs=1e-4)  # Wilson 1927, without continuity correction
    for successes, n in ((3, 2), (0, 0), (-1, 5)):
        with pytest.raises(InputError, match="wilson"):
            wilson(successes, n)
