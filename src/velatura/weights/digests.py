"""What a model file is, to the bit. ``data/SHA256SUMS`` lists those that ship inside the package."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from velatura.errors import WeightsError
from velatura.weights import table
from velatura.weights.places import weight_files

SUMS = table.DATA / "SHA256SUMS"


def sha256(path: Path) -> str:
    """Digest of a file, or of what :func:`weight_files` says a folder is made of (taef2: of both digests in turn)."""
    if not (digests := [_file_sha256(file) for file in weight_files(path)]):
        raise WeightsError(f"no weights at {path}: expected a file, or a folder with config.json and safetensors")
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def embedded_sums() -> dict[str, str]:
    """sha256 of every embedded file that is there, by its path under ``data/``."""
    files = [p for p in sorted(table.DATA.rglob("*")) if p.suffix in {".safetensors", ".json"}]
    return {file.relative_to(table.DATA).as_posix(): _file_sha256(file) for file in files}


def _file_sha256(file: Path) -> str:
    stat = file.stat()
    return _digest(str(file), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(file: str, size: int, modified: int) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
