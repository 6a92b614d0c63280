"""The process that decodes for :func:`velatura.images.sandbox.read_guarded`.

``python -m velatura.images.sandbox_process PIXELS PAGE MOST_PIXELS [FILE]``; without a file, its bytes come on standard
input. Answers with one line of JSON: the picture's facts, or what is wrong. Pixels go to PIXELS in libvips' own format.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from velatura.errors import MissingExtra, VelaturaError
from velatura.images.read import read
from velatura.images.sandbox import FILE, MEMORY, SECONDS, tree


def limit() -> None:
    """Bound memory, processor time and what is written, on systems that can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is all there is
        return
    limits = ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_FSIZE, FILE))
    for kind, most in (*limits, (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):  # macOS has no limit of address space
            resource.setrlimit(kind, (most, most))


def main(arguments: list[str]) -> None:
    pixels, page, most_pixels = arguments[0], int(arguments[1]), int(arguments[2])
    limit()
    try:
        source = Path(arguments[3]) if len(arguments) > 3 else sys.stdin.buffer.read()
        artwork = read(source, page=page, most_pixels=most_pixels)
        artwork.image.vipssave(pixels)
        answer = tree(artwork)
    except MissingExtra as error:
        answer = {"error": str(error), "kind": "MissingExtra", "extra": error.extra}
    except VelaturaError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    os.environ["VIPS_CONCURRENCY"] = "1"
    main(sys.argv[1:])
