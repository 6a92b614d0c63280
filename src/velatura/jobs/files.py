"""Where uploads and results lie, so that every machine that works on the jobs finds them.

By default a folder (``VELATURA_FILES``, else the application's own): machines share it by mounting it, wherever, since
the database keeps what lies in it relative to it. Any other place that fsspec can reach (``s3://bucket/art``,
``sftp://host/art``) is mirrored in a local folder: pulled before a picture's turn, pushed with its delivery.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import sqlalchemy as sa

from velatura.errors import InputError, VelaturaError
from velatura.jobs import database

INSIDE = b"@/"  # begins a path that is kept relative to the root
MARK = "velatura-files.txt"
PATIENCE = 5.0  # seconds


class Files:
    """One place. ``root``: the local folder where it is seen; ``remote``: the fsspec file system behind, if any."""

    def __init__(self, url: str | None) -> None:
        self.url = url or str(database.home())
        if "://" in self.url and not self.url.startswith("file://"):
            self.remote, self.base = _remote(self.url)
            self.root = database.home() / f"mirror-{sha256(self.url.encode()).hexdigest()[:12]}"
        else:
            self.remote = None
            self.root = Path(os.path.expanduser(self.url.removeprefix("file://"))).absolute()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"files {self.root}: cannot make this folder ({error.strerror})") from None

    def stored(self, path: Path) -> bytes:
        """A path as the database keeps it; names need not be UTF-8."""
        inside = self.inside(path)
        return os.fsencode(path) if inside is None else INSIDE + os.fsencode(inside)

    def found(self, stored: bytes) -> Path:
        """What :meth:`stored` made, on this machine."""
        if stored.startswith(INSIDE):
            return self.root / os.fsdecode(stored.removeprefix(INSIDE))
        return Path(os.fsdecode(stored))

    def inside(self, path: Path) -> Path | None:
        """The path relative to the root, or None where other machines cannot see it."""
        for root in (self.root, self.root.resolve()):
            if path.is_relative_to(root):
                return path.relative_to(root)
        return None

    def without_places(self, text: str, instead: str) -> str:
        """Libraries name the file that they were given, cut short or not; where it lies is nobody's business."""
        return re.sub(re.escape(str(self.root)) + r"[^\s'\")]*", lambda _: instead, text)

    def pull(self, *paths: Path) -> None:
        """See to it that these files are here, where they are anywhere."""
        if self.remote is None:
            return
        for path in paths:
            there = self._there(path)
            if there is None or path.exists() or not self.remote.exists(there):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + f".{os.getpid()}.part")
            self.remote.get_file(there, str(partial))
            os.replace(partial, path)

    def push(self, *paths: Path) -> None:
        """Put these files, as far as they exist, where every machine finds them."""
        if self.remote is None:
            return
        for path in paths:
            there = self._there(path)
            if there is not None and path.is_file():
                self.remote.makedirs(there.rpartition("/")[0], exist_ok=True)
                self.remote.put_file(str(path), there)

    def remove(self, folder: Path) -> bool:
        """Delete a folder with all that is in it; whether nothing of it is left."""
        shutil.rmtree(folder, ignore_errors=True)
        there = self._there(folder)
        if self.remote is not None and there is not None and self.remote.exists(there):
            with contextlib.suppress(OSError):
                self.remote.rm(there, recursive=True)
            if self.remote.exists(there):
                return False
        return not folder.exists()

    def check(self, engine: sa.Engine) -> None:
        """Raise :class:`InputError` where this is not the place that others on this database use: not mounted, say."""
        mark = self.root / MARK
        here = self._mark(mark)
        agreed = _agreed(engine, here or os.urandom(16).hex())
        if agreed.first and not here:
            mark.write_text(agreed.mark + "\n")
            self.push(mark)
            return
        end = time.monotonic() + PATIENCE
        while not (here := self._mark(mark)) and time.monotonic() < end:  # the first may be about to write it
            time.sleep(0.2)
        if here != agreed.mark:
            raise InputError(
                f"files {self.url}: expected the place that this database's other machines use (its {MARK} says so), "
                "got another one: mount it, and name it by --files or VELATURA_FILES"
            )

    def _mark(self, path: Path) -> str:
        self.pull(path)
        return path.read_text().strip() if path.exists() else ""

    def _there(self, path: Path) -> str | None:
        inside = self.inside(path)
        return None if inside is None or self.remote is None else f"{self.base}/{inside.as_posix()}"


def _remote(url: str) -> tuple[Any, str]:
    try:
        system, base = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError, OSError) as error:
        raise VelaturaError(f"files {url}: fsspec cannot reach it ({error})") from None
    return system, str(base).rstrip("/")


class Agreed(NamedTuple):
    mark: str
    first: bool  # nobody had proposed one before


def _agreed(engine: sa.Engine, proposed: str) -> Agreed:
    with contextlib.suppress(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(database.agreements.insert().values(name="files", value=proposed))
        return Agreed(proposed, True)
    query = sa.select(database.agreements.c.value).where(database.agreements.c.name == "files")
    with engine.connect() as connection:
        return Agreed(str(connection.execute(query).scalar_one()), False)


@cache
def _files(url: str | None, home: str | None) -> Files:
    return Files(url)


def files() -> Files:
    """The place that the environment names."""
    return _files(os.environ.get("VELATURA_FILES"), os.environ.get("VELATURA_DATA"))
