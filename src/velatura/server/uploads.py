"""Pictures that are handed in: told apart by their content, measured, kept under names of our own."""

from __future__ import annotations

import re
import shutil
import time
import unicodedata
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import anyio
from starlette.concurrency import run_in_threadpool

from velatura.errors import ImageError, ImageTooLarge, InputError
from velatura.images.formats import SUFFIXES_OF
from velatura.jobs import database
from velatura.jobs.files import files
from velatura.jobs.records import Upload
from velatura.jobs.store import Store

THUMBNAIL = 480  # px
MOST_DECODERS = 3  # at a time; each may take what images/sandbox.py allows
LONGEST_NAME = 120
HEAD = 4096  # bytes by which a format is told
UNWRITTEN = {
    "gif": "the 256 colours of a GIF would not keep a cloak; save it as PNG",
    "heic": "HEIC can be read, but not written; save it as PNG or JPEG",
}


class TooLarge(InputError):
    """More than the limits allow."""


@dataclass(frozen=True)
class Limits:
    """How much the application takes: bytes and pixels of a picture, pictures of a job; days that it keeps them."""

    bytes: int = 500_000_000
    pixels: int = 100_000_000
    pictures: int = 500
    days: float = 30.0


def too_large(most: int) -> TooLarge:
    return TooLarge(f"picture: expected at most {most / 1e6:g} MB; make it smaller")


async def take_in(
    body: AsyncIterator[bytes], name: str, limits: Limits, store: Store, room: Callable[[], int] | None = None
) -> Upload:
    """Keep a picture that arrives in pieces.

    ``room``: bytes that there are for it, asked again when it is there: others may have arrived meanwhile. Raises
    :class:`TooLarge`, or :class:`ImageError` where it is not a picture that can be protected; then nothing is kept.
    """
    id = str(uuid.uuid4())
    folder = files().root / "uploads" / id
    folder.mkdir(mode=0o700, parents=True)
    try:
        size = await _receive(body, folder / "arriving", limits.bytes)
        look = partial(_looked_at, folder, id, shown(name), size, limits)
        upload = replace(await anyio.to_thread.run_sync(look, limiter=_decoders()), owner=store.owner)
        if room is not None and size > (left := await run_in_threadpool(room)):
            raise too_large(left)
        try:
            await run_in_threadpool(store.add_upload, upload)  # entered first: what no one knows of is never deleted
            (folder / "arriving").rename(upload.path)
            await run_in_threadpool(files().push, upload.path, folder / "thumbnail.webp")
        except BaseException:
            store.delete(database.uploads, id)
            raise
    except BaseException:  # a closed tab too
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return upload


@lru_cache(maxsize=1)
def _decoders() -> anyio.CapacityLimiter:
    """Decoding takes processors and memory: a few at a time, however many hand in."""
    return anyio.CapacityLimiter(MOST_DECODERS)


async def _receive(body: AsyncIterator[bytes], path: Path, most: int) -> int:
    size = 0
    with path.open("wb") as file:
        async for piece in body:
            size += len(piece)
            if size > most:
                raise too_large(most)
            await run_in_threadpool(file.write, piece)
    return size


def _looked_at(folder: Path, id: str, name: str, size: int, limits: Limits) -> Upload:
    from velatura.images import read_guarded
    from velatura.images.libvips import pyvips
    from velatura.images.metadata.containers import Unsupported, sniff

    path = folder / "arriving"
    try:
        if size == 0:
            raise Unsupported("is empty; copy or export it again")
        with path.open("rb") as file:
            format = sniff(file.read(HEAD))
        if format in UNWRITTEN:
            raise Unsupported(UNWRITTEN[format])
        artwork = read_guarded(path, most_pixels=limits.pixels)  # in a process of limited memory and time
        small = artwork.image.thumbnail_image(THUMBNAIL, height=THUMBNAIL, size="down", output_profile="srgb")
        (folder / "thumbnail.webp").write_bytes(small.webpsave_buffer(Q=82))
    except Unsupported as error:
        raise ImageError(f"{name}: {error}") from None
    except ImageTooLarge:
        raise TooLarge(f"{name}: expected at most {limits.pixels / 1e6:g} megapixels; make it smaller") from None
    except ImageError as error:
        raise ImageError(files().without_places(str(error), name)) from None
    except pyvips.Error as error:
        detail = files().without_places(" ".join(str(error.detail).split()), name)[:120]
        raise ImageError(f"{name}: cannot be decoded, damaged or cut short ({detail})") from None
    source = folder / f"source{SUFFIXES_OF[artwork.format][0]}"
    now = time.time()
    return Upload(id, name, source, artwork.format, artwork.width, artwork.height, size, now, now + 86400 * limits.days)


def shown(name: str) -> str:
    """A file's name as it may be shown, and given back in a download: one part of a path, printable, not too long."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in last).strip(" .")
    stem, dot, suffix = clean.rpartition(".")
    if not dot or len(suffix) > 5:
        stem, dot, suffix = clean, "", ""
    if not stem or re.fullmatch(r"(?i)con|prn|aux|nul|(com|lpt)\d", stem):  # devices, to Windows
        stem = f"picture-{stem}".rstrip("-")
    return stem[:LONGEST_NAME] + dot + suffix


def remove(upload: Upload, store: Store) -> None:
    """Forget a picture that was handed in."""
    store.drop(database.uploads, upload.id, upload.path.parent)
