"""Files of strangers: decoded in a process of its own, with limits, which may die while ours lives on.

Decoders are old C code, and pictures can be made to break them or to make them eat all memory. The child reads the file
and leaves plain pixels in a temporary file; nothing but those and a line of JSON comes back. Starting it takes about
0.3 s a picture, of the twenty and more that a cloak takes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from velatura.errors import ImageError, ImageTooLarge, MissingExtra
from velatura.images import metadata
from velatura.images.artwork import Artwork, printable
from velatura.images.libvips import pyvips
from velatura.images.metadata.containers import Metadata
from velatura.images.read import MOST_PIXELS
from velatura.images.write import TEMPORARY

SECONDS = 300  # of wall time; processor time as well, where the system can limit it
MEMORY = 6 << 30  # bytes of address space; the largest picture that is read takes 2.4 GB
FILE = MOST_PIXELS * 8 + (1 << 28)  # bytes that it may write
FOLDER = "velatura-read-"
_IN_MEMORY = 100 << 20  # a larger picture stays in its file


def read_guarded(source: Path | bytes, *, page: int | None = None, most_pixels: int = MOST_PIXELS) -> Artwork:
    """``read`` in a limited process: the same picture, or :class:`ImageError` whatever the file does to its decoder."""
    name = printable(source) if isinstance(source, Path) else "the picture"
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        pixels = Path(folder) / "pixels.v"
        answer = _asked(source, pixels, page, name, most_pixels)
        if "error" in answer:
            raise _as_raised(answer)
        try:
            return _artwork(answer, source, pixels)
        except pyvips.Error as error:
            raise ImageError(f"{name}: its pixels were lost between processes ({error.detail.strip()})") from None


def sweep(folder: Path) -> None:
    """Delete what killed runs left behind: half-written files in ``folder``, decoded pixels among temporary files.

    Only what is older than any run needs it, since another one may be writing now.
    """
    for where, pattern in ((folder, f"{TEMPORARY}*.tmp"), (Path(tempfile.gettempdir()), f"{FOLDER}*")):
        for path in where.glob(pattern):
            with contextlib.suppress(OSError):  # gone already, or another user's
                if time.time() - path.stat().st_mtime > 4 * SECONDS:
                    path.unlink() if path.is_file() else shutil.rmtree(path)


def _as_raised(answer: dict[str, Any]) -> Exception:
    if answer["kind"] == "MissingExtra":
        return MissingExtra("reading HEIC", answer["extra"])
    return (ImageTooLarge if answer["kind"] == "ImageTooLarge" else ImageError)(answer["error"])


def _asked(source: Path | bytes, pixels: Path, page: int | None, name: str, most_pixels: int) -> dict[str, Any]:
    # -P: or else a base64.py in the current folder, which may be a stranger's, would be run.
    command = [sys.executable, "-P", "-m", "velatura.images.sandbox_process"]
    command += [os.fspath(pixels), str(page or 0), str(most_pixels)]
    if isinstance(source, Path):
        command.append(os.fspath(source))
    root = os.fspath(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command,
            input=None if isinstance(source, Path) else source,
            stdin=subprocess.DEVNULL if isinstance(source, Path) else None,
            capture_output=True,
            timeout=SECONDS,
            env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows would open one for each picture
        )
    except subprocess.TimeoutExpired:
        raise ImageError(f"{name}: takes more than {SECONDS} s to decode; export it again") from None
    except ValueError:  # a zero byte in the name
        raise ImageError(f"{name}: does not exist; check the path") from None
    with contextlib.suppress(ValueError):
        answer = json.loads(done.stdout)
        if isinstance(answer, dict) and done.returncode == 0:
            return answer
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
    why = f"of damage, or of needing more than {MEMORY >> 30} GB"
    raise ImageError(f"{name}: its decoder died ({how}), {why}; export it again")


def _artwork(answer: dict[str, Any], source: Path | bytes, pixels: Path) -> Artwork:
    image = metadata.upright(pyvips.Image.vipsload(os.fspath(pixels)))  # libvips has made up EXIF on the way
    # On Windows a file in use cannot be deleted; elsewhere it lives on without a name, until the picture goes.
    if os.name == "nt" or pixels.stat().st_size < _IN_MEMORY:
        image = image.copy_memory()
    parts = answer.pop("metadata")
    exif, xmp, photoshop, iptc = (_bytes(parts[name]) for name in ("exif", "xmp", "photoshop", "iptc"))
    kept = Metadata(
        *(exif, xmp, photoshop, iptc),
        native=tuple(map(_bytes, answer.pop("native"))),
        lost=tuple(parts["lost"]),
    )
    icc = answer.pop("icc")
    answer["notes"] = tuple(answer["notes"])
    return Artwork(
        path=source if isinstance(source, Path) else None,
        image=image,
        icc=None if icc is None else _bytes(icc),
        metadata=kept,
        **answer,
    )


def tree(artwork: Artwork) -> dict[str, Any]:
    """All of an artwork but its pixels and path, ready for JSON."""
    left_out = ("path", "image", "icc", "metadata")
    found: dict[str, Any] = {f.name: getattr(artwork, f.name) for f in fields(artwork) if f.name not in left_out}
    kept = asdict(artwork.metadata)
    found["icc"] = None if artwork.icc is None else _text(artwork.icc)
    found["native"] = [_text(part) for part in kept.pop("native")]
    found["metadata"] = {key: _text(value) if isinstance(value, bytes) else value for key, value in kept.items()}
    return found


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
