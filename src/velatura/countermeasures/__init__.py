"""What a mimic does to a picture first: one file a family, tensor to tensor of the same size.

``COUNTERMEASURES`` names them all; ``treatment.prepare`` binds one to settings and a model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from velatura.countermeasures.autoencoding import ImpressSettings, RoundTripSettings, impress, round_trip
from velatura.countermeasures.compression import AvifSettings, JpegSettings, WebpSettings, avif, jpeg, webp
from velatura.countermeasures.denoising import (
    NonLocalMeansSettings,
    TotalVariationSettings,
    non_local_means,
    total_variation,
)
from velatura.countermeasures.diffusing import DiffuseSettings, UpscaleSettings, diffuse, upscale
from velatura.countermeasures.geometry import CropSettings, RotateSettings, crop, rotate
from velatura.countermeasures.noise import NoiseSettings, gaussian_noise
from velatura.countermeasures.purifier import LearnedSettings, learned
from velatura.countermeasures.resizing import ResizeSettings, down_up
from velatura.countermeasures.settings import Settings
from velatura.countermeasures.smoothing import (
    AdverseCleanerSettings,
    BilateralSettings,
    BlurSettings,
    GuidedSettings,
    MedianSettings,
    adverse_cleaner,
    bilateral,
    gaussian_blur,
    guided,
    median,
)

Needs = Literal["nothing", "autoencoder", "diffusion model", "diffusion model or upscaler", "purifier"]


@dataclass(frozen=True)
class Countermeasure:
    """A countermeasure's settings, its function, a line about it, and what model it is given.

    ``moves``: it gives the picture another framing, so that what it is compared with must be moved alike.
    """

    settings: type[Settings]
    function: Callable[..., Any]
    about: str
    needs: Needs = "nothing"
    moves: bool = False


COUNTERMEASURES = {
    "noise": Countermeasure(NoiseSettings, gaussian_noise, "Gaussian noise"),
    "jpeg": Countermeasure(JpegSettings, jpeg, "JPEG compression"),
    "webp": Countermeasure(WebpSettings, webp, "WebP compression"),
    "avif": Countermeasure(AvifSettings, avif, "AVIF compression"),
    "resize": Countermeasure(ResizeSettings, down_up, "smaller and larger again"),
    "crop": Countermeasure(CropSettings, crop, "a part of the picture, enlarged", moves=True),
    "rotate": Countermeasure(RotateSettings, rotate, "a small rotation", moves=True),
    "blur": Countermeasure(BlurSettings, gaussian_blur, "Gaussian blur"),
    "median": Countermeasure(MedianSettings, median, "median filter"),
    "bilateral": Countermeasure(BilateralSettings, bilateral, "pixel smoothing: bilateral filter, repeated"),
    "guided": Countermeasure(GuidedSettings, guided, "guided filter"),
    "adverse-cleaner": Countermeasure(
        AdverseCleanerSettings, adverse_cleaner, "AdverseCleaner: 64 bilateral, then 4 guided passes"
    ),
    "tv": Countermeasure(TotalVariationSettings, total_variation, "total-variation denoising"),
    "nlm": Countermeasure(NonLocalMeansSettings, non_local_means, "non-local means denoising"),
    "vae": Countermeasure(RoundTripSettings, round_trip, "through the model's autoencoder and back", "autoencoder"),
    "impress": Countermeasure(
        ImpressSettings, impress, "IMPRESS: the nearest picture that the autoencoder leaves alone", "autoencoder"
    ),
    "upscale": Countermeasure(
        UpscaleSettings, upscale, "noise, then diffusion upscaling or a light img2img", "diffusion model or upscaler"
    ),
    "diffuse": Countermeasure(
        DiffuseSettings, diffuse, "DiffPure: diffuse and denoise with the mimic's model", "diffusion model"
    ),
    "learned": Countermeasure(
        LearnedSettings, learned, "a U-Net trained on pairs of other artists (velatura lab purify train)", "purifier"
    ),
}

__all__ = ["COUNTERMEASURES", "Countermeasure", "Settings"]
