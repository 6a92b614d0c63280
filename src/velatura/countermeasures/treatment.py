"""One countermeasure, ready to use: its settings, and the model that it needs, loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from velatura import weights
from velatura.countermeasures import Needs, Settings, purifier
from velatura.countermeasures.plugged import named, sources
from velatura.countermeasures.settings import parse
from velatura.diffusion import extractors, pipeline
from velatura.errors import InputError, WeightsError


@dataclass(frozen=True, eq=False)
class Treatment:
    """A function of pictures. ``weights``: sha256 by name of the networks in it; ``model`` is None where none is."""

    name: str
    settings: Settings
    model: Any
    weights: dict[str, str]

    def __call__(self, pictures: Tensor, *, shift: int = 0) -> Tensor:
        """``(B, 3, H, W)`` in [0, 1] to the same. ``shift`` is added to the seed: other draws for other pictures."""
        settings: Any = self.settings
        if shift and hasattr(settings, "seed"):
            settings = replace(settings, seed=settings.seed + shift)
        given = {} if self.model is None else {"model": self.model}
        changed: Tensor = named(self.name).function(pictures, settings=settings, **given)
        return changed

    @property
    def moves(self) -> bool:
        """Whether the result is to be compared with pictures that went through the same."""
        return named(self.name).moves

    def describe(self) -> dict[str, Any]:
        """Name and settings, for reports."""
        return {"countermeasure": self.name, **asdict(self.settings)}


def model_for(name: str, model: str, purifier: Path | None = None, upscaler: str | None = None) -> str:
    """What a countermeasure works with: the purifier, the upscaler if there is one, else the mimic's own ``model``."""
    needs = named(name).needs
    if needs == "purifier":
        if purifier is None:
            raise InputError(f"countermeasure {name}: expected --purifier FILE (velatura lab purify train)")
        return str(purifier)
    return upscaler if upscaler is not None and needs == "diffusion model or upscaler" else model


def prepare(
    name: str, changes: Mapping[str, str] | None = None, *, model: str = "mini", device: str = "cpu", seed: int = 0
) -> Treatment:
    """The attack of a name with ``changes`` to its settings.

    ``model``: name, hub id or folder of what the attack needs: an autoencoder, a text-to-image model (or an upscaler),
    or the file of a purifier.
    """
    row = named(name)
    drawn = {"seed": str(seed)} if any(found.name == "seed" for found in fields(row.settings)) else {}
    settings = parse(row.settings, {**drawn, **(changes or {})})
    ready = _with_model(name, row.needs, settings, model, device)
    return replace(ready, weights=ready.weights | sources(name))


def _with_model(name: str, needs: Needs, settings: Settings, model: str, device: str) -> Treatment:
    if needs == "nothing":
        return Treatment(name, settings, None, {})
    if needs == "autoencoder":
        extractor = _extractor(model, device)
        return Treatment(name, settings, extractor, {extractor.name: extractor.sha256})
    if needs == "purifier":
        if weights.lookup(model) is not None:
            raise InputError(
                f"{name}: expected a purifier's file as model, got {model!r}; no purifier is shipped, make one with "
                "`velatura lab purify train CLOAKED CLEAN -o FILE`"
            )
        return Treatment(
            name, settings, purifier.load(model, device), {"purifier": weights.sha256(weights.local_path(model))}
        )
    return Treatment(name, settings, _pipeline(model, device, needs != "diffusion model"), _digests(model))


@lru_cache(maxsize=4)
def _extractor(model: str, device: str) -> extractors.Extractor:
    return extractors.load(model, device)


@lru_cache(maxsize=2)
def _pipeline(model: str, device: str, upscaler: bool) -> Any:
    return pipeline.load(model, device, upscaler=upscaler)


def _digests(model: str) -> dict[str, str]:
    folder = weights.require_pipeline(model)
    digests = {}
    for part in ("vae", "unet"):
        try:
            digests[f"{part} of {model}"] = weights.sha256(folder / part)
        except WeightsError:  # older folders hold pickles, which have no digest here
            continue
    return digests
