"""Where networks run, and in which precision: what is faster on this machine is measured once and remembered."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from pathlib import Path

import platformdirs
import torch

from velatura.diffusion.extractors import Extractor, Precision
from velatura.errors import InputError


def pick_device(name: str = "auto") -> str:
    """``auto`` is cuda, else mps, else cpu; a named one must be there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there.get(name):
        found = ", ".join(device for device, here in there.items() if here)
        raise InputError(f"device {name!r}: expected one that this machine and this torch have: auto, {found}")
    return name


def fastest_precision(extractor: Extractor) -> Precision:
    """The precision with the faster gradient step through ``extractor``, by a short trial; cached by machine and model.

    The cache keeps later runs, and so their bytes, the same. CUDA and MPS take fp32: there the trial would have to
    cover numerical support too, and a step is fast anyway.
    """
    if extractor.device.type != "cpu":
        return "fp32"
    key = f"{platform.machine()}|{_processor()}|{torch.get_num_threads()}|{torch.__version__}|{extractor.sha256[:16]}"
    path = _cache()
    known: dict[str, Precision] = {}
    with contextlib.suppress(OSError, ValueError):  # no cache yet, or a damaged one: measure again
        known = json.loads(path.read_text(encoding="utf-8"))
    if known.get(key) not in ("fp32", "bf16"):
        known[key] = _faster(extractor)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
        os.replace(temporary, path)
    return known[key]


def _faster(extractor: Extractor) -> Precision:
    picture = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    seconds = {}
    before = extractor.precision
    precisions: tuple[Precision, Precision] = ("fp32", "bf16")
    for precision in precisions:
        extractor.precision = precision
        try:
            seconds[precision] = min(_step_seconds(extractor, picture) for _ in range(3))
        except RuntimeError:  # this build has no bf16 kernel for some layer
            seconds[precision] = float("inf")
    extractor.precision = before
    # bf16 has to earn its rounding errors.
    return "bf16" if seconds["bf16"] < 0.85 * seconds["fp32"] else "fp32"


def _step_seconds(extractor: Extractor, picture: torch.Tensor) -> float:
    start = time.perf_counter()
    x = picture.clone().requires_grad_(True)
    extractor.encode(x).square().sum().backward()
    return time.perf_counter() - start


def _cache() -> Path:
    root = os.environ.get("VELATURA_CACHE") or platformdirs.user_cache_dir("velatura", appauthor=False)
    return Path(root) / "precision.json"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
