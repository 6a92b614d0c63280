"""The verdict on one picture, in words: how far models see it on its way to the target, and whether people see it.

Words such as strong or weak are withheld until trained mimics have set their thresholds; the figures are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from velatura.weights import FAMILY_NAMES, lookup

MARGIN = 0.03  # of progress over noise that is as visible; less of a lead than this is none
SEEN = ((0.25, "cannot see the change"), (1.0, "hardly sees the change"), (2.0, "sees the change when looking for it"))
# What is not known of every figure, said once, as the last line of a report.
DISTILLED = (
    "What is not known: these figures rest on TAESD and its kin. Those are small copies of the models' autoencoders, "
    "distilled from them. The full autoencoders were not at hand, so what they see may differ."
)
OTHERS = "What is not known: what other models than these see."


@dataclass(frozen=True)
class Verdict:
    """``word``: protected | unprotected | nothing | copied; ``sentence`` says why; ``advice`` what to try, or ''."""

    word: str
    sentence: str
    advice: str


def verdict(report: Mapping[str, Any]) -> Verdict:
    """Of a report of ``protection.report``, all but its verdict."""
    kind = report["kind"]
    if kind["nothing"] is not None:
        return Verdict("nothing", f"left as it is, there is nothing to protect: {kind['nothing']}", "")
    if not report["settings"]["budget"]:
        return Verdict("copied", "a copy without a cloak (intensity 0)", "")
    families = report["families"]
    if not worth_it(families):
        left = ", so it is left as it is" if report["figures"].get("delta_scale") == 0 else ""
        return Verdict(
            "unprotected",
            f"not protected: models see no more in it than in noise that is as visible ({kind['name']}){left}",
            "Another target style may do more." if not kind["grey"] else "",
        )
    people = f"a viewer {seen_by_people(report['figures']['jod_lost'])}"
    return Verdict("protected", f"{_seen_by_models(families, report['style']['artist'])}; {people}", "")


def worth_it(families: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether models see more in a cloak than in noise that is as visible, the mean over families."""
    gain = [family["progress"] - family["progress_noise"] for family in families.values()]
    return bool(sum(gain) / len(gain) > MARGIN)


def _seen_by_models(families: Mapping[str, Mapping[str, Any]], artist: str) -> str:
    (first, share), *others = [
        (FAMILY_NAMES.get(name, name), f"{max(0, f['progress']):.0%}") for name, f in families.items()
    ]
    sees = "see" if " and " in first else "sees"
    rest = "".join(f", {name} {share}" for name, share in others)
    return f"{first} {sees} {share} of the way to {artist}{rest}"


def seen_by_people(lost: float) -> str:
    """What a viewer sees of a change with such a :func:`jod_lost`: ``hardly sees the change (0.6 JOD, estimated)``."""
    words = next((words for most, words in SEEN if lost <= most), "sees the change")
    return f"{words} ({lost:.1f} JOD, estimated)"


def unknown(models: Sequence[str]) -> str | None:
    """What is not known of figures that these models gave; None where there are none."""
    if not models:
        return None
    rows = [lookup(name) for name in models]
    if any(row is not None and (row.name == "surrogate" or row.kind == "tiny autoencoder") for row in rows):
        return DISTILLED
    return OTHERS


def jod_lost(flip: float, lpips: float, *, colourless: bool = False) -> float:
    """About how much worse viewers find a picture at a 4K screen, in JOD (one: three of four see it).

    Of its mean ꟻLIP, its LPIPS, and whether it is grey or in one hue (``Kind.colourless``). A law fitted to what
    ColorVideoVDP said of 68 files, which it misses by 0.11 JOD on average (``benchmarks/visibility.py``).
    """
    return 22.3 * float(flip**0.96 * lpips**0.63 * (1.86 if colourless else 1.0))
