"""Protect a picture: ``Protector`` for many with one setting, ``protect`` for a platform that holds bytes."""

from __future__ import annotations

from functools import lru_cache

from velatura.images import read_guarded
from velatura.protection.panels import Protected
from velatura.protection.protector import Protector
from velatura.protection.settings import EFFORTS, Settings

__all__ = ["EFFORTS", "Protected", "Protector", "Settings", "protect"]


def protect(data: bytes, settings: Settings | None = None) -> bytes:
    """Protect one picture file: bytes in, bytes out, in the same format. Networks are kept between calls.

    The bytes are decoded in a process of its own, with limits. Raises ``ImageError`` where they are not a picture that
    can be protected. For the report and the sheet use ``Protector(settings).protect(read_guarded(data))``.
    """
    artwork = read_guarded(data)  # first: nothing is loaded for what is no picture
    return _protector(settings or Settings()).protect(artwork).data


@lru_cache(maxsize=2)
def _protector(settings: Settings) -> Protector:
    return Protector(settings)
