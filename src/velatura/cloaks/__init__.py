"""Cloaks: one file a method, all with one signature.

Some need more than an extractor: ``shuffled`` other pictures' δ, ``advdm`` (with Mist) and ``aspl`` the whole pipeline.
"""

from velatura.cloaks.advdm import AdvDMSettings, advdm
from velatura.cloaks.application import ApplicationSettings, application
from velatura.cloaks.aspl import ASPLSettings, aspl
from velatura.cloaks.cloak import Cloak, OnStep, Step
from velatura.cloaks.decoded import DecodedSettings, decoded
from velatura.cloaks.glaze import GlazeSettings, glaze
from velatura.cloaks.instant import InstantSettings, instant
from velatura.cloaks.noise import NoiseSettings, noise
from velatura.cloaks.photoguard import PhotoGuardSettings, photoguard
from velatura.cloaks.shuffled import shuffled
from velatura.cloaks.styleguard import StyleGuardSettings, styleguard

__all__ = [
    "ASPLSettings",
    "AdvDMSettings",
    "ApplicationSettings",
    "Cloak",
    "DecodedSettings",
    "GlazeSettings",
    "InstantSettings",
    "NoiseSettings",
    "OnStep",
    "PhotoGuardSettings",
    "Step",
    "StyleGuardSettings",
    "advdm",
    "application",
    "aspl",
    "decoded",
    "glaze",
    "instant",
    "noise",
    "photoguard",
    "shuffled",
    "styleguard",
]
