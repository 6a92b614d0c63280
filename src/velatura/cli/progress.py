"""The bar that a command draws while it works, where someone is there to see it."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def bar(total: int, unit: str, done: int = 0) -> Any:
    """``done`` of ``total`` units were there before."""
    return tqdm(total=total, initial=done, unit=unit, disable=not sys.stderr.isatty(), dynamic_ncols=True)
