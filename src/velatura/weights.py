"""One table of every model file."""

from __future__ import annotations

from pathlib import Path

from velatura.errors import WeightsError

DATA = Path(__file__).parent / "data"
EMBEDDED = {"lpips-alex": "lpips/alex.safetensors", "lpips-vgg": "lpips/vgg.safetensors", "mini": "mini"}


def embedded(name: str) -> Path:
    """Path of a file or folder that ships inside the package."""
    path = DATA / EMBEDDED[name]
    if not path.exists():
        raise WeightsError(f"the embedded file of {name!r} is missing at {path}: reinstall velatura")
    return path
