"""libvips, set up once for the whole process: quiet, and without its cache of operations."""

from __future__ import annotations

import logging

import pyvips

# Without a handler Python prints libvips' warnings ("unknown tag ...") to the terminal by itself.
logging.getLogger("pyvips").addHandler(logging.NullHandler())

# The cache would keep whole decoded pictures alive, and give back an old picture for a file that has changed since.
pyvips.cache_set_max(0)

__all__ = ["pyvips"]
