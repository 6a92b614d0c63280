"""The experiments: what a cloak does to a mimic's pictures, beside its control arms, with intervals.

An :class:`Experiment` says what is compared; a :class:`Setup` has its pictures split and its settings filled in;
:func:`run` carries out what is not yet in the folder. All of it is one list of stages (``stages.py``).
"""

from velatura.evaluation.arms import Arm
from velatura.evaluation.experiment import Experiment
from velatura.evaluation.methods import METHODS, Method
from velatura.evaluation.plan import run
from velatura.evaluation.setup import Setup

__all__ = ["METHODS", "Arm", "Experiment", "Method", "Setup", "run"]
