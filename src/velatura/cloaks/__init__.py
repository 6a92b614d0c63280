"""Cloaks: one file a method, all with one signature; ``shuffled`` alone takes other pictures' δ instead of targets."""

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
    "Cloak",
    "DecodedSettings",
    "GlazeSettings",
    "NoiseSettings",
    "OnStep",
    "PhotoGuardSettings",
    "Step",
    "decoded",
    "glaze",
    "noise",
    "photoguard",
    "shuffled",
]
