"""What the parts of the API share: kinds of parameters, answers, and how a picture, a job or a file is found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import Header, HTTPException, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse

from velatura.errors import InputError
from velatura.jobs.files import files
from velatura.jobs.queue import JobQueue
from velatura.jobs.records import Job, Upload
from velatura.server import catalogue
from velatura.server.policy import Visitor
from velatura.server.schema import Problem, Wish

FOR_A_DAY = {"Cache-Control": "private, max-age=86400"}
MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".avif": "image/avif", ".tif": "image/tiff"}
Uuid = Annotated[str, InPath(pattern=r"^[0-9a-f-]{36}$")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=100, description="The same key, the same job.")]
Before = Annotated[float | None, Query(description="Jobs that were ordered earlier: ``created`` of another.")]
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
REFUSED: dict[int | str, dict[str, Any]] = {422: {"description": "What was expected, what was got, what to do."}}


def settings_of(wish: Wish, who: Visitor) -> dict[str, Any]:
    """Checked, all of them, before anything is queued."""
    from dataclasses import asdict

    from velatura.cloaks.budget import intensity
    from velatura.images import Delivery
    from velatura.protection import Settings
    from velatura.styles.catalogue import load

    known = {model.name for model in catalogue.models() if model.here}
    for name in wish.models:
        # Names alone: a path or a hub id would let a page look around on the disk.
        if name != "auto" and name not in known:
            raise InputError(f"model {name!r}: expected auto or one of {', '.join(sorted(known))}")
    settings = Settings(
        budget=intensity(wish.intensity),
        effort=wish.effort,
        style=load().find(wish.style).name if wish.style else None,
        artist=who.artist(wish.artist) if wish.artist else None,
        models=tuple(wish.models),
        against=tuple(wish.against),
        resolutions=(wish.resolution,) if wish.resolution else (),
        delivery=Delivery(strip_gps=wish.strip_gps, do_not_train=wish.do_not_train),
    )
    return asdict(settings)


def upload_of(queue: JobQueue, id: str) -> Upload:
    found = queue.store.uploads([id])
    if not found:
        raise HTTPException(404, "picture: none of this id; it was deleted, or its time was over")
    return found[0]


def job_of(queue: JobQueue, id: str, kind: str = "protect") -> Job:
    job = queue.store.job(id)
    if job is None or job.kind != kind:
        raise HTTPException(404, f"{'job' if kind == 'protect' else kind}: none of this id")
    return job


def file_at(path: Path, download: str | None = None, *, stays: bool = False) -> FileResponse:
    """``stays``: a small picture that never changes, which browsers may keep for a day."""
    files().pull(path)
    if not path.is_file():
        raise HTTPException(404, "file: not there, or not yet")
    # What is shown and what is sent is what we wrote or recognised; a browser is not asked to guess.
    kind = "application/json" if path.suffix == ".json" else MEDIA.get(path.suffix, "application/octet-stream")
    return FileResponse(path, media_type=kind, filename=download, headers=FOR_A_DAY if stays else None)
