"""Every model file: where it lies, its licence, what it was trained on.

Nothing here downloads unless :func:`fetch` is called, and only ``velatura models pull`` calls it. Importing this
package does not import torch.
"""

from velatura.weights.digests import SUMS, embedded_sums, sha256
from velatura.weights.download import Progress, fetch, offline_by_environment
from velatura.weights.places import (
    embedded,
    local_path,
    locate,
    locate_pipeline,
    require,
    require_pipeline,
    weight_files,
)
from velatura.weights.table import DATA, FAMILIES, FAMILY_NAMES, MODELS, Kind, Model, lookup

__all__ = [
    "DATA",
    "FAMILIES",
    "FAMILY_NAMES",
    "MODELS",
    "SUMS",
    "Kind",
    "Model",
    "Progress",
    "embedded",
    "embedded_sums",
    "fetch",
    "local_path",
    "locate",
    "locate_pipeline",
    "lookup",
    "offline_by_environment",
    "require",
    "require_pipeline",
    "sha256",
    "weight_files",
]
