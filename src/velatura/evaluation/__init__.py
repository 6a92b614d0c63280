"""The experiments: what a cloak does to a mimic's pictures, beside its control arms, with intervals."""

from velatura.evaluation.arms import METHODS, Arm
from velatura.evaluation.protocol import Protocol, run, stages

__all__ = ["METHODS", "Arm", "Protocol", "run", "stages"]
