"""The verdict on one picture, in words: strong, fair or weak, on what it rests, and what to try.

It rests on ``view_change``: how far the style that the model sees has changed (``perception.style``), from 0 to 1.
Below 0.1 (means of an arm, at 128 px on the miniature) lie noise, other pictures' cloaks and cloaks that were held too
tight; above it most mimics missed the style more often than on noise. Not all: a style may change much and stay the
artist's (results/evaluation/first-trial-vincent-van-gogh.json), which no figure of one picture alone tells. It predicts
mimics roughly, if better than ``decoded_shift``, the share of the way to the target style, which does not know how far
the way is (docs/evaluation-results.md, "Do fast figures predict slow ones?").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STRONG, FAIR = 0.25, 0.1
MARGIN = 0.02  # over noise; less of a lead than this is none


@dataclass(frozen=True)
class Verdict:
    """``word``: strong | fair | weak; ``sentence`` says why and on which models; ``advice`` what to try, or ''."""

    word: str
    sentence: str
    advice: str


def verdict(view_change: Mapping[str, float], *, noise_change: float | None, scale_models: Sequence[str]) -> Verdict:
    """Judge by the worst of the models measured.

    ``view_change``: by model name. ``noise_change``: what random noise of equal LPIPS reaches. ``scale_models``: names
    of miniatures among the models; measured on those alone, no picture is called strong.
    """
    change = min(view_change.values())
    word = "strong" if change >= STRONG else "fair" if change >= FAIR else "weak"
    reason = f"the style that the model sees has changed by {change:.0%}"
    if noise_change is not None:
        reason += f" (random noise of equal visibility: {noise_change:.0%})"
        if change <= noise_change + MARGIN:
            same = round(change, 2) <= round(noise_change, 2)
            word, reason = "weak", f"{reason}: {'no' if same else 'hardly'} better than noise"
    miniature_only = set(view_change) <= set(scale_models)
    sentence = f"{word}: {reason}; measured on {', '.join(view_change)}"
    if miniature_only:
        word = "fair" if word == "strong" else word
        measured = f"measured on {', '.join(view_change)} alone, a scale model"
        sentence = f"{word}; not shown against a full-size model: {reason}; {measured}"
    return Verdict(word, sentence, _advice(word, miniature_only))


def _advice(word: str, miniature_only: bool) -> str:
    advice = []
    if word == "weak":
        advice.append("try --intensity high, --effort max or another --style")
    if miniature_only:
        advice.append("cloak against a model that mimics use: velatura models pull taesd, then --model taesd")
    return "; ".join(advice)
