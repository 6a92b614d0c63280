"""The verdict on one picture, in words: strong, fair or weak, on what it rests, and what to try.

It rests on ``view_turn``: how far the style that the model sees has turned, in units of what lies between two styles
(``styles.turn``). Over the arms whose mimics were trained, it predicts in which style they paint far better than
``decoded_shift``, the share of the way to the target style that the view has moved: that does not know how far the way
is (docs/evaluation.md, "Do the fast figures predict").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STRONG, FAIR = 0.4, 0.2
MARGIN = 0.02  # over noise; less of a lead than this is none


@dataclass(frozen=True)
class Verdict:
    """``word``: strong | fair | weak; ``sentence`` says why and on which models; ``advice`` what to try, or ''."""

    word: str
    sentence: str
    advice: str


def verdict(view_turn: Mapping[str, float], *, noise_turn: float | None, scale_models: Sequence[str]) -> Verdict:
    """Judge by the worst of the models measured.

    ``view_turn``: by model name. ``noise_turn``: what random noise of equal LPIPS reaches. ``scale_models``: names of
    miniatures among the models; measured on those alone, no picture is called strong.
    """
    turn = min(view_turn.values())
    word = "strong" if turn >= STRONG else "fair" if turn >= FAIR else "weak"
    reason = f"the style that the model sees has turned by {turn:.0%} of what lies between two styles"
    if noise_turn is not None:
        reason += f" (random noise of equal visibility: {noise_turn:.0%})"
        if turn <= noise_turn + MARGIN:
            word, reason = "weak", reason + ": no better than noise"
    miniature_only = set(view_turn) <= set(scale_models)
    sentence = f"{word}: {reason}; measured on {', '.join(view_turn)}"
    if miniature_only:
        word = "fair" if word == "strong" else word
        sentence = f"{word}; not shown against a full-size model: {reason}; measured on {', '.join(view_turn)} alone"
    return Verdict(word, sentence, _advice(word, miniature_only))


def _advice(word: str, miniature_only: bool) -> str:
    advice = []
    if word == "weak":
        advice.append("try --intensity high, --effort max or another --style")
    if miniature_only:
        advice.append("cloak against a model that mimics use: velatura models pull taesd, then --model taesd")
    return "; ".join(advice)
