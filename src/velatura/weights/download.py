"""Downloads of models, for explicit requests only: nothing but ``velatura models pull`` calls :func:`fetch`."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from velatura.errors import VelaturaError, WeightsError
from velatura.weights.places import WEIGHT_FILES, locate, locate_pipeline, require, require_pipeline
from velatura.weights.table import Model, lookup

Progress = Callable[[int, int], None]  # bytes done, bytes in all (from the table, so about)
_PIPELINE_FILES = [
    *("model_index.json", "scheduler/*.json", "tokenizer/*"),
    *(f"{part}/config.json" for part in ("text_encoder", "unet", "vae")),
    *("text_encoder/model.safetensors", f"unet/{WEIGHT_FILES[0]}", f"vae/{WEIGHT_FILES[0]}"),
]


def fetch(name: str, *, whole: bool = False, offline: bool = False, on_progress: Progress | None = None) -> Path:
    """Download a model of the table into the hub's cache, if it is not on disk; for explicit requests only.

    ``whole``: the text-to-image model, where otherwise its autoencoder is enough.
    """
    find, need = (locate_pipeline, require_pipeline) if whole else (locate, require)
    model = lookup(name)
    if model is None or model.file or (whole and model.pipeline_mb is None):
        return need(name)
    if found := find(name):
        return found
    megabytes = (model.pipeline_mb if whole else model.size_mb) or 0
    if offline or offline_by_environment():
        raise WeightsError(f"{model.name!r} is not on this machine and Velatura is offline: pull it once while online")
    import huggingface_hub as hub

    cache = Path(hub.constants.HF_HUB_CACHE)
    folder = next(f for f in (cache, *cache.parents) if f.exists())
    if (free := shutil.disk_usage(folder).free / 1e6) < 1.1 * megabytes:
        raise WeightsError(f"{model.name!r} needs {megabytes:g} MB, but {folder} has only {free:.0f} MB free")
    prefix = f"{model.subfolder}/" if model.subfolder else ""
    try:
        hub.snapshot_download(
            model.repo,
            revision=model.revision,
            allow_patterns=_PIPELINE_FILES if whole else [f"{prefix}config.json", prefix + WEIGHT_FILES[0]],
            tqdm_class=_silent_bar(megabytes, on_progress),
        )
    except VelaturaError:
        raise  # on_progress raised Cancelled
    except Exception as error:  # the hub's client and its HTTP library have changed their exceptions before
        raise WeightsError(_explain(model, error)) from error
    if found := find(name):
        return found
    raise WeightsError(f"{model.repo} was downloaded, but it has no {prefix}config.json with {WEIGHT_FILES[0]}")


def offline_by_environment() -> bool:
    """Whether ``VELATURA_OFFLINE`` or ``HF_HUB_OFFLINE`` is set."""
    values = (os.environ.get(name, "") for name in ("VELATURA_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in values)


def _explain(model: Model, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError) or (model.gated and status in (401, 403)):
        return (
            f"{model.repo} is gated: accept its licence ({model.licence}) at https://huggingface.co/{model.repo}, "
            "then run `hf auth login` or set HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"{model.repo} is no longer on the hub, or private"
    return f"{model.repo} could not be downloaded ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"


def _silent_bar(megabytes: float, on_progress: Progress | None) -> type[Any]:
    """A tqdm class that draws nothing and calls ``on_progress``: bars are the command line's business."""
    from tqdm import tqdm

    total, done = int(megabytes * 1e6), 0

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: object, **settings: object) -> None:
            settings.pop("name", None)
            super().__init__(*args, **{**settings, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> None:
            nonlocal done
            super().update(n)
            # The hub counts bytes twice, as received and as written: we follow whichever is ahead.
            if on_progress is not None and self.unit == "B" and self.n > done:
                done = min(int(self.n), total)
                on_progress(done, total)

    return Bar
