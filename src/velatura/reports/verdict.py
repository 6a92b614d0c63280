"""The verdict on one picture, in words: strong, fair or weak, on what it rests, and what to try.

It rests on ``decoded_shift``: the share of the way from the picture to its painted target that the model's own view of
it has moved. Thresholds from the first mimics of cloaked art: of arms at 0.3 and below, the mimics were no further from
the style than those of noise; of every arm from 0.55 up they were, in the judge's first choice. That does not hold of
every target style: where T is near the artist's, a mimic of pictures at 0.72 was as near the style as ever
(results/evaluation/cloaks-kate-greenaway.json, arm ``banded``). A share of the way says nothing of how far the way is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STRONG, FAIR = 0.8, 0.5


@dataclass(frozen=True)
class Verdict:
    """``word``: strong | fair | weak; ``sentence`` says why and on which models; ``advice`` what to try, or ''."""

    word: str
    sentence: str
    advice: str


def verdict(decoded_shift: Mapping[str, float], *, noise_shift: float | None, scale_models: Sequence[str]) -> Verdict:
    """Judge by the worst of the models measured.

    ``decoded_shift``: by model name. ``noise_shift``: what random noise of equal LPIPS reaches. ``scale_models``: names
    of miniatures among the models; measured on those alone, no picture is called strong.
    """
    worst = min(decoded_shift, key=lambda name: decoded_shift[name])
    shift = decoded_shift[worst]
    word = "strong" if shift >= STRONG else "fair" if shift >= FAIR else "weak"
    reason = f"the model's view has moved {shift:.0%} of the way to the target style"
    if noise_shift is not None:
        reason += f" (random noise of equal visibility: {noise_shift:.0%})"
        if shift <= noise_shift + 0.05:
            word, reason = "weak", reason + ": no better than noise"
    miniature_only = set(decoded_shift) <= set(scale_models)
    sentence = f"{word}: {reason}; measured on {', '.join(decoded_shift)}"
    if miniature_only:
        word = "fair" if word == "strong" else word
        sentence = (
            f"{word}; not shown against a full-size model: {reason}; measured on {', '.join(decoded_shift)} alone"
        )
    return Verdict(word, sentence, _advice(word, miniature_only))


def _advice(word: str, miniature_only: bool) -> str:
    advice = []
    if word == "weak":
        advice.append("try --intensity high, --effort max or another --style")
    if miniature_only:
        advice.append("cloak against a model that mimics use: velatura models pull taesd, then --model taesd")
    return "; ".join(advice)
