"""The experiments: what a cloak does to a mimic's pictures, beside its control arms, with intervals."""

from velatura.evaluation.arms import Arm
from velatura.evaluation.experiment import run
from velatura.evaluation.methods import METHODS
from velatura.evaluation.protocol import Protocol, Setup

__all__ = ["METHODS", "Arm", "Protocol", "Setup", "run"]
