"""The verdict on one picture, in words: how far models see it on its way to the target, and whether people see it.

Words such as strong or weak are withheld until trained mimics have set their thresholds; the figures are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from velatura.weights import FAMILY_NAMES

MARGIN = 0.03  # of progress over noise that is as visible; less of a lead than this is none
# JOD that a viewer loses at a 4K screen, about SLOPE · ꟻLIP ** POWER: fitted to ColorVideoVDP (results/visibility.json).
SLOPE, POWER = 31.6, 1.433
SEEN = ((0.25, "cannot see the change"), (1.0, "hardly sees the change"), (2.0, "sees the change when looking for it"))


@dataclass(frozen=True)
class Verdict:
    """``word``: protected | unprotected | nothing | copied; ``sentence`` says why; ``advice`` what to try, or ''."""

    word: str
    sentence: str
    advice: str


def verdict(report: Mapping[str, Any]) -> Verdict:
    """Of a report of ``protect.report``, all but its verdict."""
    kind = report["kind"]
    if kind["nothing"] is not None:
        return Verdict("nothing", f"left as it is, there is nothing to protect: {kind['nothing']}", "")
    if not report["settings"]["budget"]:
        return Verdict("copied", "a copy without a cloak (intensity 0)", "")
    families = report["families"]
    gain = {name: f["progress"] - f["progress_noise"] for name, f in families.items()}
    if sum(gain.values()) / len(gain) <= MARGIN:
        return Verdict(
            "unprotected",
            f"not protected: nothing that is worth what one would see of it, in this {kind['name']}",
            "another target style may do more" if not kind["grey"] else "",
        )
    return Verdict(
        "protected", f"{_seen_by_models(families, report['style']['artist'])}; {_seen_by_people(report)}", ""
    )


def _seen_by_models(families: Mapping[str, Mapping[str, Any]], artist: str) -> str:
    parts = [f"{FAMILY_NAMES.get(name, name)} {max(0, f['progress']):.0%}" for name, f in families.items()]
    first, *others = parts
    head, share = first.rsplit(" ", 1)
    sees = "see" if " and " in head else "sees"
    rest = "".join(f", {part}" for part in others)
    return f"{head} {sees} {share} of the way to {artist}{rest}"


def _seen_by_people(report: Mapping[str, Any]) -> str:
    lost = jod_lost(report["figures"]["flip"])
    words = next((words for most, words in SEEN if lost <= most), "sees the change")
    return f"a viewer {words} ({lost:.1f} JOD, estimated)"


def jod_lost(flip: float) -> float:
    """About how much worse viewers find a picture of such a mean ꟻLIP, in JOD (one: three of four see it)."""
    return float(SLOPE * flip**POWER)
