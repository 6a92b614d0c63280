"""Where networks run, and how: which precision is faster on this machine is measured once and remembered."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from pathlib import Path

import platformdirs
import torch

from velatura.diffusion.extractors import Extractor
from velatura.errors import InputError

WAYS = ("fp32", "fp32 channels-last", "bf16", "bf16 channels-last")


def pick_device(name: str = "auto") -> str:
    """``auto`` is cuda, else mps, else cpu; a named one must be there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if there["cuda"]:  # fp32 is to mean it: TF32's ten bits are a hundredth of a small δ
        torch.backends.cudnn.allow_tf32 = False
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there.get(name):
        found = ", ".join(device for device, here in there.items() if here)
        raise InputError(f"device {name!r}: expected one that this machine and this torch have: auto, {found}")
    return name


def tune(extractor: Extractor) -> str:
    """Set the precision and memory layout of the fastest gradient step through ``extractor``; returns their names.

    A short trial of four ways, cached by machine and model, so that later runs, and their bytes, stay the same. CUDA
    and MPS keep fp32: there a step is fast anyway.
    """
    if extractor.device.type != "cpu":
        return extractor.precision
    key = f"{platform.machine()}|{processor()}|{torch.get_num_threads()}|{torch.__version__}|{extractor.sha256[:16]}"
    path = _cache()
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):  # no cache yet, or a damaged one: measure again
        known = dict(json.loads(path.read_text(encoding="utf-8")))
    if known.get(key) not in WAYS:
        known[key] = _fastest(extractor)
        with contextlib.suppress(OSError):  # without a cache the trial is made again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
            temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
            os.replace(temporary, path)
    _set(extractor, known[key])
    return known[key]


def _fastest(extractor: Extractor) -> str:
    picture = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    seconds = {}
    for way in WAYS if fast_bf16() else [way for way in WAYS if way.startswith("fp32")]:
        _set(extractor, way)
        try:
            seconds[way] = min(_step_seconds(extractor, picture) for _ in range(3))
        except RuntimeError:  # this build has no such kernel for some layer
            seconds[way] = float("inf")
    # Rounding errors have to earn their keep.
    plain = min((way for way in WAYS if way.startswith("fp32")), key=lambda way: seconds[way])
    best = min(seconds, key=lambda way: seconds[way])
    return best if seconds[best] < 0.85 * seconds[plain] else plain


def fast_bf16() -> bool:
    """Whether this processor computes in bf16 itself: where it is emulated, a step would take a hundred times as long.

    One small convolution tells; a whole encoder would already take minutes.
    """
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        x, kernel = torch.ones(1, 64, 32, 32, dtype=dtype), torch.ones(64, 64, 3, 3, dtype=dtype)
        try:
            seconds.append(min(_conv_seconds(x, kernel) for _ in range(3)))
        except RuntimeError:  # this build has no such kernel
            return False
    return seconds[1] < 3 * seconds[0]


def _conv_seconds(x: torch.Tensor, kernel: torch.Tensor) -> float:
    start = time.perf_counter()
    torch.nn.functional.conv2d(x, kernel, padding=1)
    return time.perf_counter() - start


def _set(extractor: Extractor, way: str) -> None:
    precision, _, layout = way.partition(" ")
    extractor.precision = "bf16" if precision == "bf16" else "fp32"
    memory_format = torch.channels_last if layout else torch.contiguous_format
    extractor.module.to(memory_format=memory_format)  # type: ignore[call-overload]


def _step_seconds(extractor: Extractor, picture: torch.Tensor) -> float:
    start = time.perf_counter()
    x = picture.clone().requires_grad_(True)
    torch.autograd.grad(extractor.encode(x).square().sum(), x)
    return time.perf_counter() - start


def _cache() -> Path:
    root = os.environ.get("VELATURA_CACHE") or platformdirs.user_cache_dir("velatura", appauthor=False)
    return Path(root) / "precision.json"


def processor() -> str:
    """The processor's name, as its maker gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
