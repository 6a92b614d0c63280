"""Protect a picture: ``Protector`` for many with one setting, ``protect`` for a platform that holds bytes."""

from __future__ import annotations

from functools import lru_cache

from velatura.images import read
from velatura.protect.protector import Protected, Protector
from velatura.protect.settings import EFFORTS, Settings

__all__ = ["EFFORTS", "Protected", "Protector", "Settings", "protect"]


def protect(data: bytes, settings: Settings | None = None) -> bytes:
    """Protect one picture file: bytes in, bytes out, in the same format. Networks are kept between calls.

    Raises ``ImageError`` where the bytes are not a picture that can be protected. For the report and the sheet use
    ``Protector(settings).protect(read(data))``.
    """
    return _protector(settings or Settings()).protect(read(data)).data


@lru_cache(maxsize=2)
def _protector(settings: Settings) -> Protector:
    return Protector(settings)
