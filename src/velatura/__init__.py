"""Velatura: a thin glaze over an artist's pictures against style mimicry. Friction, not a guarantee."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from velatura.diffusion.autoencoder import MiniAutoencoder
    from velatura.errors import VelaturaError
    from velatura.protection import Protected, Protector, Settings, protect

# No thread ever spins for another: beside other busy programs steps take far longer so, and on an idle machine no less.
# OpenMP reads this when torch is loaded, so it is decided here, for this process and for those that it starts; who
# imports torch first is not reached, and who has set the policy is left alone.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    for _name in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        os.environ.setdefault(_name, "0")

# Lazy, so that `import velatura` and `velatura --help` load no torch.
_HOMES = {
    # Here by name: a pipeline folder's model_index.json says ["velatura", "MiniAutoencoder"].
    "MiniAutoencoder": "velatura.diffusion.autoencoder",
    "Protected": "velatura.protection",
    "Protector": "velatura.protection",
    "Settings": "velatura.protection",
    "VelaturaError": "velatura.errors",
    "protect": "velatura.protection",
}

__all__ = ["MiniAutoencoder", "Protected", "Protector", "Settings", "VelaturaError", "__version__", "protect"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'velatura' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
