"""Φ: how a text-to-image model sees a picture, through its autoencoder.

Every autoencoder is used through the same three functions, in the house's units: pictures ``(B, 3, H, W)`` float32 in
[0, 1]; latents in the model's own units, unscaled (the pipeline's ``scaling_factor`` is not applied).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from velatura import weights
from velatura.errors import ContractError, InputError, WeightsError
from velatura.images.contract import check_pictures

Precision = Literal["fp32", "bf16"]
CLASSES = ("Surrogate", "MiniAutoencoder", "Taef2Autoencoder", "AutoencoderKL", "AutoencoderTiny", "AutoencoderKLFlux2")


class _PictureLayer(nn.Conv2d):
    """The first convolution, kept out of autocast.

    bf16 has 8 bits of mantissa: rounding the picture itself would hide a perturbation of that size from Φ. With taef2
    and the tests' smooth picture, Φ's error in bf16 falls from 6.2 % to 1.2 %.
    """

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


class Extractor:
    """The model's view of a picture. Made by :func:`load`; frozen, in eval mode, so safe to share between cloaks.

    ``precision`` "bf16" runs encoder and decoder under autocast (faster on recent GPUs; results are float32 all the
    same). ``sha256`` is what a report names. A pipeline's latents are ``(encode(x) - shift_factor) * scaling_factor``.
    ``parts``: which channels are whose latents, by model family; one for all but the surrogate.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        sha256: str,
        *,
        precision: Precision = "fp32",
        parts: Sequence[tuple[str, slice]] = (),
    ) -> None:
        if precision not in get_args(Precision):
            raise InputError(f"precision: expected one of {', '.join(get_args(Precision))}, got {precision!r}")
        self.module = module.requires_grad_(False).eval()
        self.name, self.sha256, self.precision = name, sha256, precision
        config: Any = module.config
        self.latent_channels = int(config["latent_channels"])
        self.scaling_factor = float(config.get("scaling_factor") or 1.0)
        self.shift_factor = float(config.get("shift_factor") or 0.0)
        self.downscale = _downscale(module)
        self.parts = parts or ((name, slice(None)),)
        # How much of the progress that it believes a cloak to make is so, by family; of the surrogate, measured.
        self.heard: dict[str, float] = dict(config.get("heard") or {})
        next(m for m in module.modules() if isinstance(m, nn.Conv2d)).__class__ = _PictureLayer

    def __repr__(self) -> str:
        return f"Extractor({self.name!r}, {type(self.module).__name__}, {self.precision}, {self.device})"

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype

    def autocast(self) -> torch.autocast:
        """The context that encoder and decoder run in; "fp32" also switches a surrounding autocast off."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def encode(self, pictures: Tensor) -> Tensor:
        """Φ(x), ``(B, C, H/8, W/8)`` float32: the mode of the model's latent distribution. Differentiable."""
        self._check(pictures)
        module: Any = self.module
        with self.autocast():
            out = module.encode((pictures * 2 - 1).to(self.dtype))
            latents: Tensor = out.latent_dist.mode() if hasattr(out, "latent_dist") else out.latents
        return latents.float()

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures ``(B, 3, H, W)`` float32, clamped to [0, 1]: no gradient flows where the clamp bites.

        The surrogate gives what Stable Diffusion 1 and 2 see.
        """
        if latents.ndim != 4 or latents.shape[1] != self.latent_channels:
            raise ContractError(
                f"{self.name}: expected latents (B, {self.latent_channels}, h, w), got {tuple(latents.shape)}"
            )
        module: Any = self.module
        with self.autocast():
            sample: Tensor = module.decode(latents.to(self.dtype)).sample
        return (sample.float() / 2 + 0.5).clamp(0, 1)

    def view(self, pictures: Tensor) -> Tensor:
        """The model's-eye view: what is left of ``pictures`` after the autoencoder."""
        return self.decode(self.encode(pictures))

    def _check(self, pictures: Tensor) -> None:
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.dtype != torch.float32 or not pictures.numel():
            raise ContractError(f"expected float32 (B, 3, H, W), got {pictures.dtype} {tuple(pictures.shape)}")
        if any(side % self.downscale for side in pictures.shape[-2:]):
            raise ContractError(
                f"{self.name}: expected sides that are multiples of {self.downscale}, got {tuple(pictures.shape[-2:])}"
            )
        # Values are read only where no gradient flows, that is where originals, targets and saved files come in.
        # Reading them in each of an optimiser's hundreds of steps would make a GPU wait for Python, and an iterate may
        # overstep the box a little (noise under an expectation over transforms).
        if not pictures.requires_grad:
            check_pictures(pictures)


def load(
    model: str | Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    precision: Precision = "fp32",
    channels_last: bool = False,
    families: Sequence[str] = (),
) -> Extractor:
    """The extractor of a name of the table, a cached hub id, or a folder (an autoencoder's or a pipeline's).

    Never downloads. ``channels_last`` is faster for convolutions on tensor cores and on many CPUs. ``families``: of the
    surrogate, whose latents count; all by default.
    """
    folder = weights.require(model)
    name = _class_name(folder)
    if name not in (*CLASSES, "taef2"):
        raise WeightsError(f"{model}: expected an autoencoder of class {', '.join(CLASSES)} or taef2, got {name}")
    try:
        # nn.Module's own: diffusers' wrapper warns of every dtype, on stderr.
        module = nn.Module.to(_module(name, folder), device=device, dtype=dtype)
    except WeightsError:
        raise
    except Exception as error:  # diffusers, safetensors and torch each have their own ways to say "corrupt"
        raise WeightsError(f"{model}: {folder} could not be loaded ({_first_line(error)})") from error
    if channels_last:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    row = weights.lookup(str(model))
    called = row.name if row else str(model)
    parts = _parts(families) if name == "Surrogate" else [((row.family if row else "") or called, slice(None))]
    return Extractor(module, called, weights.sha256(folder), precision=precision, parts=parts)


def load_all(names: Sequence[str], against: Sequence[str] = weights.FAMILIES, device: str = "cpu") -> list[Extractor]:
    """Extractors of ``names``; of the surrogate those of the families ``against`` that no other of them stands for."""
    covered = {row.family for name in names if (row := weights.lookup(name)) is not None}
    left = [family for family in against if family not in covered]
    if "surrogate" in names and not left:
        names = [name for name in names if name != "surrogate"]
    return [load(name, device, families=left if name == "surrogate" else ()) for name in names]


def _parts(families: Sequence[str]) -> list[tuple[str, slice]]:
    from velatura.diffusion.surrogate import HEADS

    found, start = [], 0
    for family, channels in HEADS.items():
        if not families or family in families:
            found.append((family, slice(start, start + channels)))
        start += channels
    return found


def available() -> list[str]:
    """Names of the table's extractors that are on disk, best first: full autoencoders, tiny ones, the miniature's."""
    return [model.name for model in weights.MODELS if model.class_name and weights.locate(model.name)]


def resolve(names: Sequence[str], against: Sequence[str] = weights.FAMILIES) -> list[str]:
    """Names to load, each of them on disk, without repetition. Never downloads.

    "auto" is, for each of the families ``against``, the best autoencoder that was pulled, and the surrogate for the
    others.
    """
    if unknown := [family for family in against if family not in weights.FAMILIES]:
        raise InputError(f"against: expected some of {', '.join(weights.FAMILIES)}, got {unknown[0]!r}")
    if not against:
        raise InputError(f"against: expected one or more of {', '.join(weights.FAMILIES)}, got none")
    chosen: list[str] = []
    for name in names:
        for one in _automatic(against) if name == "auto" else [name]:
            weights.require(one)
            if one not in chosen:
                chosen.append(one)
    if not chosen:
        raise InputError("expected one model name or more, got none")
    return chosen


def _automatic(against: Sequence[str]) -> list[str]:
    pulled: dict[str, str] = {}
    for model in weights.MODELS:  # best first
        if model.family in against and model.family not in pulled and weights.locate(model.name):
            pulled[model.family] = model.name
    rest = [family for family in against if family not in pulled]
    return [*pulled.values(), *(["surrogate"] if rest else [])]


def hint(names: Sequence[str]) -> str | None:
    """One line on how to protect better than ``names`` do, or None."""
    if list(names) == ["mini"]:
        return "the miniature is the laboratory's: no mimic uses it; leave out --model for the models that mimics use"
    return None


def config(model: str | Path) -> dict[str, Any]:
    """What a model's ``config.json`` says; {} where it has none."""
    path = weights.require(model) / "config.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _class_name(folder: Path) -> str:
    config = folder / "config.json"
    if not config.is_file():
        return "taef2" if folder.is_dir() else f"the single file {folder.name}"
    try:
        return str(json.loads(config.read_text())["_class_name"])
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{config}: expected a diffusers config with _class_name") from error


def _module(name: str, folder: Path) -> nn.Module:
    if name == "taef2":
        from velatura.diffusion import taef2

        return taef2.from_folder(folder)
    if name == "Surrogate":
        from velatura.diffusion import surrogate

        return surrogate.from_folder(folder)
    cls: Any
    if name == "MiniAutoencoder":
        from velatura.diffusion.autoencoder import MiniAutoencoder as cls
    elif name == "Taef2Autoencoder":
        from velatura.diffusion.taef2 import Taef2Autoencoder as cls
    else:
        import diffusers

        cls = getattr(diffusers, name)
    variant = "fp16" if ".fp16." in weights.weight_files(folder)[0].name else None
    module: nn.Module
    module, info = cls.from_pretrained(
        folder, variant=variant, use_safetensors=True, local_files_only=True, output_loading_info=True,
        low_cpu_mem_usage=find_spec("accelerate") is not None,  # without it, diffusers tells the user at length
    )  # fmt: skip
    # diffusers only warns of these and leaves the parameters random.
    if missing := [*info["missing_keys"], *info["mismatched_keys"]]:
        raise WeightsError(f"{folder}: {len(missing)} weights are missing or of a wrong shape, {missing[0]} among them")
    return module


def _downscale(module: nn.Module) -> int:
    config: Any = module.config
    for stages in ("encoder_block_out_channels", "down_block_types"):  # AutoencoderTiny; AutoencoderKL, -KLFlux2
        if stages in config:
            return int(2 ** (len(config[stages]) - 1))
    return 8  # the surrogate, the miniature and taef2


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
