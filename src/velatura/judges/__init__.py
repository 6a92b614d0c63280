"""Judges of a mimic's pictures: whose style, which genre, what content, how near to real ones, copied or not.

Nothing that optimises uses them. They need the ``lab`` extra.
"""

from velatura.judges.copies import Copies, copy_rate
from velatura.judges.fidelity import Fidelity, fidelity
from velatura.judges.style import StyleJudge, fit
from velatura.judges.style_distance import style_moves
from velatura.judges.validation import Scores, cross_validate
from velatura.judges.vgg import correlations

__all__ = [
    "Copies",
    "Fidelity",
    "Scores",
    "StyleJudge",
    "copy_rate",
    "correlations",
    "cross_validate",
    "fidelity",
    "fit",
    "style_moves",
]
