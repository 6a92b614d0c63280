"""Results as one zip, sent while it is made: no second copy on the disk, no archive in memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from velatura.jobs import files as places
from velatura.server.uploads import shown

PIECE = 1 << 20


class _Outlet(io.RawIOBase):
    """A file to write to that forgets what was taken out of it."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.held += data
        self.position += len(data)
        return len(data)

    def tell(self) -> int:
        return self.position

    def taken(self) -> bytes:
        data, self.held = bytes(self.held), bytearray()
        return data


def zipped(files: Sequence[tuple[str, Path]]) -> Iterator[bytes]:
    """The bytes of a zip of ``files`` (name, path), as far as they exist. Pictures are compressed already."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        for name, (_, path) in zip(distinct([name for name, _ in files]), files, strict=True):
            if not here(path):
                continue
            entry = zipfile.ZipInfo.from_file(path, name)
            with path.open("rb") as source, archive.open(entry, "w") as target:
                while piece := source.read(PIECE):
                    target.write(piece)
                    yield outlet.taken()
            yield outlet.taken()
    yield outlet.taken()


def here(path: Path) -> bool:
    """Whether there is such a file, fetched if it lies elsewhere."""
    places.files().pull(path)
    return path.is_file()


def distinct(names: Sequence[str]) -> list[str]:
    """Names for one flat folder: no part of a path, no two the same on any system."""
    taken: set[str] = set()
    found = []
    for name in map(shown, names):
        path, number = PurePath(name), 1
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"
        taken.add(name.casefold())
        found.append(name)
    return found
