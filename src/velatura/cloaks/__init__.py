"""Cloaks: one file a method, all with one signature.

Two need more than an extractor: ``shuffled`` other pictures' δ, ``advdm`` (with Mist) the whole pipeline.
"""

from velatura.cloaks.advdm import AdvDMSettings, advdm
from velatura.cloaks.cloak import Cloak, OnStep, Step
from velatura.cloaks.decoded import DecodedSettings, decoded
from velatura.cloaks.glaze import GlazeSettings, glaze
from velatura.cloaks.noise import NoiseSettings, noise
from velatura.cloaks.photoguard import PhotoGuardSettings, photoguard
from velatura.cloaks.shuffled import shuffled

CLOAKS = {
    "decoded": (decoded, DecodedSettings),
    "glaze": (glaze, GlazeSettings),
    "noise": (noise, NoiseSettings),
    "photoguard": (photoguard, PhotoGuardSettings),
}

__all__ = [
    "CLOAKS",
    "AdvDMSettings",
    "Cloak",
    "DecodedSettings",
    "GlazeSettings",
    "NoiseSettings",
    "OnStep",
    "PhotoGuardSettings",
    "Step",
    "advdm",
    "decoded",
    "glaze",
    "noise",
    "photoguard",
    "shuffled",
]
