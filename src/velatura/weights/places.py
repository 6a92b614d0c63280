"""Where a model is on this machine: embedded, a local folder, or the hub's cache. Nothing here uses the network."""

from __future__ import annotations

import difflib
import itertools
import os
import re
from pathlib import Path

from velatura.errors import WeightsError
from velatura.weights import table
from velatura.weights.table import MODELS, lookup

# The plain file first: sha256 in a report should not depend on which variant happened to be cached as well.
WEIGHT_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
_REPO_ID = r"[\w-][\w.-]*/[\w-][\w.-]*"
_SPLIT_FILES = ("encoder.safetensors", "decoder.safetensors")  # taef2's raw layout, without config.json


def embedded(name: str) -> Path:
    """Path of a file or folder that ships inside the package."""
    model = lookup(name)
    if model is None or not model.file:
        raise _unknown(name)
    path = table.DATA / model.file
    if not weight_files(path):
        raise WeightsError(f"the embedded file of {name!r} is missing at {path}: reinstall velatura")
    return path


def local_path(name: str | Path) -> Path:
    """A path with ``~`` as it is meant; pathlib's own raises where there is no user of that name."""
    return Path(os.path.expanduser(name))


def locate(name: str | Path) -> Path | None:
    """Where a model is on disk, or None: embedded, a local folder, or the hub's cache. Never uses the network.

    For autoencoders that is the folder with ``config.json``, also when ``name`` is a whole pipeline. A name of the
    table wins over a folder of the same name: write ``./taesd`` for the folder.
    """
    name = str(name)
    model = lookup(name)
    if model is None:
        folders = (local_path(name), local_path(name) / "vae")
        local = next((f for f in folders if f.is_dir() and weight_files(f)), None)
        return local or _cached(name, ("vae", ""), ("main",))
    if model.file:
        return table.DATA / model.file if weight_files(table.DATA / model.file) else None
    for repo in (model.repo, *model.formerly):
        # Another revision is better than none; a report's sha256 tells which it was.
        if found := _cached(repo, (model.subfolder,), (model.revision, "main")):
            return found
    return None


def require(name: str | Path) -> Path:
    """:func:`locate`, or one line that says what to do."""
    if found := locate(name):
        return found
    model = lookup(str(name))
    if model is None:
        raise _unknown(str(name))
    if model.file:
        return embedded(model.name)
    about = f"{model.size_mb:g} MB, {model.licence}"
    raise WeightsError(f"{model.name!r} is not on this machine: run `velatura models pull {model.name}` ({about})")


def locate_pipeline(name: str | Path) -> Path | None:
    """Folder of a whole text-to-image model (with ``model_index.json``): embedded, local, or in the hub's cache."""
    name = str(name)
    model = lookup(name)
    if model is not None and model.file:
        folder = (table.DATA / model.file).parent
        return folder if (folder / "model_index.json").is_file() else None
    if model is None and (local_path(name) / "model_index.json").is_file():
        return local_path(name)
    repos = (model.repo, *model.formerly) if model else (name,)
    for repo, revision in itertools.product(repos, (model.revision, "main") if model else ("main",)):
        index = _cached_file(repo, "model_index.json", revision)
        # A pull of the autoencoder leaves no unet; one that was interrupted, not all of the weights.
        if index and _cached_file(repo, "unet/config.json", revision) and (model is None or _is_whole(index.parent)):
            return index.parent
    return None


def _is_whole(folder: Path) -> bool:
    """Whether the weights of every part of a pipeline are there."""
    parts = [folder / part for part in ("unet", "vae", "text_encoder")]
    parts += [path.parent for path in folder.glob("text_encoder_[0-9]/config.json")]
    stems = ("diffusion_pytorch_model", "model", "pytorch_model")
    files = [f"{stem}.{kind}" for stem in stems for kind in ("safetensors", "bin")]
    return all(any((part / file).is_file() for file in files) for part in parts)


def require_pipeline(name: str | Path) -> Path:
    """:func:`locate_pipeline`, or one line that says what to do."""
    if found := locate_pipeline(name):
        return found
    model = lookup(str(name))
    if model is None and not local_path(name).exists():
        raise _unknown(str(name))
    if model is None or model.pipeline_mb is None:
        whole = ", ".join(m.name for m in MODELS if m.pipeline_mb)
        raise WeightsError(
            f"{name}: expected a text-to-image model (mini, {whole}, a hub id, a folder with model_index.json)"
        )
    about = f"{model.pipeline_mb / 1000:.1f} GB, {model.licence}"
    raise WeightsError(
        f"the whole of {model.name!r} is not here: run `velatura models pull {model.name} --whole` ({about})"
    )


def weight_files(path: Path) -> list[Path]:
    """The files that loading ``path`` reads weights from: itself, or an autoencoder folder's; [] if missing."""
    if path.is_file():
        return [path]
    if (path / "config.json").is_file():
        return [path / file for file in WEIGHT_FILES if (path / file).is_file()][:1]
    split = [path / file for file in _SPLIT_FILES]
    return split if all(file.is_file() for file in split) else []


def _cached_file(repo: str, file: str, revision: str) -> Path | None:
    if not re.fullmatch(_REPO_ID, repo):
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _cached(repo: str, subfolders: tuple[str, ...], revisions: tuple[str, ...]) -> Path | None:
    for revision, subfolder in itertools.product(revisions, subfolders):
        config = _cached_file(repo, f"{subfolder}/config.json".lstrip("/"), revision)
        if config and weight_files(config.parent):
            return config.parent
    return None


def _unknown(name: str) -> WeightsError:
    if local_path(name).exists():
        return WeightsError(f"{name}: expected a folder with vae/, or with config.json and {WEIGHT_FILES[0]}")
    names = [model.name for model in MODELS if model.class_name]
    repos = [model.repo for model in MODELS if model.repo]
    if re.fullmatch(_REPO_ID, name) and not difflib.get_close_matches(name, repos, 1, 0.8):
        return WeightsError(
            f"{name!r} is no folder and not in the hub's cache: only models of `velatura models list` are pulled; "
            f"get others with `hf download {name} --include 'vae/*'`"
        )
    close = " or ".join(map(repr, difflib.get_close_matches(name, names + repos, 2, 0.5)))
    hint = f"did you mean {close}?" if close else f"expected a path or one of {', '.join(names)}"
    return WeightsError(f"unknown model {name!r}: {hint}")
