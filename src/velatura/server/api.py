"""The API: everything that the pages do, described by OpenAPI at /api/openapi.json."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from velatura.errors import InputError
from velatura.jobs.files import files
from velatura.jobs.queue import JobQueue, folder_of
from velatura.jobs.records import Job, Picture, Upload
from velatura.server import catalogue
from velatura.server.archive import here, zipped
from velatura.server.job_events import TICK, listening
from velatura.server.policy import Queue, Rules, Visitor, Who
from velatura.server.schema import (
    PANELS,
    JobNews,
    JobOut,
    JobWish,
    ModelOut,
    Panel,
    PictureOut,
    PreviewOut,
    PreviewWish,
    Problem,
    StyleOut,
    Wish,
    download_name,
)
from velatura.server.uploads import remove, take_in, too_large

PREVIEW_HOURS = 1.0
FOR_A_DAY = {"Cache-Control": "private, max-age=86400"}
MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".avif": "image/avif", ".tif": "image/tiff"}
Uuid = Annotated[str, InPath(pattern=r"^[0-9a-f-]{36}$")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=100, description="The same key, the same job.")]
Before = Annotated[float | None, Query(description="Jobs that were ordered earlier: ``created`` of another.")]
TURNED_AWAY: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token of this launch; on a shared server, no session and no API key."},
    429: {"model": Problem, "description": "Too often, or too much, for now; on a shared server."},
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
REFUSED: dict[int | str, dict[str, Any]] = {422: {"description": "What was expected, what was got, what to do."}}


def router() -> APIRouter:
    """All routes under /api."""
    api = APIRouter(prefix="/api", responses=TURNED_AWAY)
    for part in (_pictures, _jobs, _events, _files, _previews, _choices):
        part(api)
    return api


def _pictures(api: APIRouter) -> None:
    schema = {"schema": {"type": "string", "format": "binary"}}
    body = {"content": {"application/octet-stream": schema}, "required": True}

    @api.post(
        "/pictures",
        status_code=201,
        responses={413: {"model": Problem}, 415: {"model": Problem}},
        openapi_extra={"requestBody": body},
        max_body_size=sys.maxsize,  # counted here, with words that say what to do
    )
    async def hand_in(
        request: Request,
        queue: Queue,
        policy: Rules,
        who: Who,
        name: Annotated[str, Query(max_length=1000)] = "picture",
    ) -> PictureOut:
        """Hand in a picture: the body is the file. What it is is told by its content."""
        room = await run_in_threadpool(policy.room, who)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > room:  # one that lies is found out while it arrives
            raise too_large(room)
        limits = replace(policy.limits, bytes=room)
        with policy.arriving(who) as arrival:
            body = arrival.counted(request.stream())
            left = partial(policy.room, who, arrival)
            return PictureOut.of(await take_in(body, name, limits, queue.store, left))

    @api.get("/pictures/{id}/thumbnail", response_class=FileResponse, responses=NOT_FOUND)
    def thumbnail(id: Uuid, queue: Queue) -> FileResponse:
        """A small WebP of a picture that was handed in."""
        return _file(_upload(queue, id).path.with_name("thumbnail.webp"), stays=True)

    @api.delete("/pictures/{id}", status_code=204, responses=NOT_FOUND | {409: {"model": Problem}})
    def take_back(id: Uuid, queue: Queue) -> None:
        """Delete a picture that was handed in; not while a job needs it."""
        upload = _upload(queue, id)
        queue.forget_previews([upload.path])
        if any(p.source == upload.path for job in queue.store.unfinished() for p in job.pictures):
            raise HTTPException(409, "picture: a job is still at work on it; cancel that first")
        remove(upload, queue.store)


def _jobs(api: APIRouter) -> None:
    @api.post("/jobs", status_code=201, responses=REFUSED)
    def order(wish: JobWish, response: Response, queue: Queue, policy: Rules, who: Who, key: Key = None) -> JobOut:
        """Protect pictures that were handed in. With an idempotency key that was used before: the job of then."""
        limits = policy.limits
        if len(wish.pictures) > limits.pictures:
            raise InputError(f"job: expected at most {limits.pictures} pictures, got {len(wish.pictures)}")
        uploads = queue.store.uploads(list(dict.fromkeys(wish.pictures)))
        if len(uploads) != len(set(wish.pictures)):
            raise InputError("job: expected pictures that were handed in and not deleted since; hand them in again")
        if key and (earlier := queue.store.by_key(key)):
            response.status_code = 200
            return JobOut.of(earlier)
        id = str(uuid.uuid4())
        settings = _settings(wish, who)
        todo = [_picture(id, number, upload) for number, upload in enumerate(uploads)]
        ordered = {"settings": settings, "panels": PANELS, "wish": wish.model_dump(exclude={"pictures"})}
        with policy.admitted(who, id, len(uploads), wish.webhook) as admitted:
            job = queue.submit(todo, ordered, id=id, key=key, keep_days=limits.days)
            admitted.used = job.id == id  # or the same order came twice at once, and the other was first
        response.status_code = 201 if admitted.used else 200
        return JobOut.of(job)

    @api.get("/jobs")
    def all_jobs(queue: Queue, before: Before = None) -> list[JobOut]:
        """The latest hundred jobs, newest first, then older ones that are unfinished; the next with ``before``."""
        return [JobOut.of(job) for job in queue.store.jobs(before=before)]

    @api.get("/jobs/{id}", responses=NOT_FOUND)
    def one_job(id: Uuid, queue: Queue) -> JobOut:
        return JobOut.of(_job(queue, id))

    @api.post("/jobs/{id}/cancel", responses=NOT_FOUND | {409: {"model": Problem}})
    def cancel(id: Uuid, queue: Queue) -> JobOut:
        """Stop a job at its next step; what is done stays."""
        if not queue.cancel(_job(queue, id).id):
            raise HTTPException(409, "job: it is over already")
        return JobOut.of(_job(queue, id))

    @api.post("/jobs/{id}/resume", responses=NOT_FOUND | {409: {"model": Problem}})
    def resume(id: Uuid, queue: Queue) -> JobOut:
        """Take up a cancelled job again, or the failed pictures of one that is over."""
        if not queue.resume(_job(queue, id).id):
            raise HTTPException(409, "job: nothing is left to do")
        return JobOut.of(_job(queue, id))

    @api.delete("/jobs/{id}", status_code=204, responses=NOT_FOUND | {409: {"model": Problem}})
    def delete(id: Uuid, queue: Queue) -> None:
        """Delete a job that is over and its results."""
        if not queue.delete(_job(queue, id).id):
            raise HTTPException(409, "job: cancel it first")


def _events(api: APIRouter) -> None:
    @api.get("/events", response_class=EventSourceResponse, dependencies=[Depends(listening)])
    async def events(request: Request, queue: Queue) -> AsyncIterator[ServerSentEvent]:
        """News: an event "jobs", whose data are the latest jobs in brief, at once and whenever one has changed.

        With them go those that are unfinished, and what was told before: a job that is missing was deleted.
        """
        last = ""
        told: list[str] = []
        while not await request.is_disconnected():
            if (now := await request.app.state.events.pulse(queue.store.owner)) != last:
                last = now
                jobs = await run_in_threadpool(queue.store.summaries, told)
                told = [job.id for job in jobs]
                yield ServerSentEvent(event="jobs", raw_data=json.dumps([JobNews.of(job).model_dump() for job in jobs]))
            await asyncio.sleep(TICK)


def _files(api: APIRouter) -> None:
    @api.get("/jobs/{id}/pictures/{number}/{panel}", response_class=FileResponse, responses=NOT_FOUND)
    def panel(id: Uuid, number: int, panel: Panel, queue: Queue, download: bool = False) -> FileResponse:
        """A file of a picture: the result, the original, the report, or a panel at the working resolution."""
        job = _job(queue, id)
        picture = next((p for p in job.pictures if p.number == number), None)
        if picture is None:
            raise HTTPException(404, "picture: this job has none of that number")
        ends = {"report": "report.json"}
        small = picture.source.with_name("thumbnail.webp")
        paths = {"result": picture.output, "original": picture.source, "thumbnail": small}
        path = paths.get(panel) or picture.task.beside(ends.get(panel, f"{panel}.png"))
        stays = panel == "thumbnail" or (picture.state == "done" and f"{panel}.png" in PANELS)
        return _file(path, download_name(picture) if download else None, stays=stays)

    @api.get("/jobs/{id}/zip", response_class=StreamingResponse, responses=NOT_FOUND)
    def archive(id: Uuid, queue: Queue) -> StreamingResponse:
        """All results of a job under the pictures' own names."""
        job = _job(queue, id)
        done = [(download_name(p), p.output) for p in job.pictures if p.state == "done"]
        if not any(here(path) for _, path in done):  # the others when their turn comes
            raise HTTPException(404, "job: no picture of it is done yet")
        pieces: Iterator[bytes] = zipped(done)
        name = f"velatura-{time.strftime('%Y-%m-%d', time.localtime(job.created))}-{id[:8]}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)


def _previews(api: APIRouter) -> None:
    @api.post("/previews", status_code=202, responses=NOT_FOUND | REFUSED)
    def order_preview(wish: PreviewWish, queue: Queue, policy: Rules, who: Who) -> PreviewOut:
        """A quick look at a part of a picture; the one that was asked for before is given up."""
        upload = _upload(queue, wish.picture)
        policy.preview(who)
        for job in queue.store.unfinished():
            if job.kind == "preview":
                queue.cancel(job.id)
        id = str(uuid.uuid4())
        ordered = {"settings": _settings(wish, who), "x": wish.x, "y": wish.y}
        picture = Picture(0, upload.name, upload.path, folder_of(id) / "after.png", "part")
        return PreviewOut.of(queue.submit([picture], ordered, kind="preview", id=id, keep_days=PREVIEW_HOURS / 24))

    @api.get("/previews/{id}", responses=NOT_FOUND)
    def one_preview(id: Uuid, queue: Queue) -> PreviewOut:
        return PreviewOut.of(_job(queue, id, "preview"))

    @api.get("/previews/{id}/before", response_class=FileResponse, responses=NOT_FOUND)
    def before(id: Uuid, queue: Queue) -> FileResponse:
        """The part as it is, at the working resolution."""
        return _file(_job(queue, id, "preview").pictures[0].task.beside("before.png"))

    @api.get("/previews/{id}/after", response_class=FileResponse, responses=NOT_FOUND)
    def after(id: Uuid, queue: Queue) -> FileResponse:
        """The part cloaked, about as the whole will be."""
        return _file(_job(queue, id, "preview").pictures[0].output)


def _choices(api: APIRouter) -> None:
    @api.get("/styles")
    def styles() -> list[StyleOut]:
        """The target styles that can be asked for, each with its nearest neighbours."""
        return catalogue.styles()

    @api.get("/styles/{name}/swatch", response_class=Response, responses=NOT_FOUND)
    def swatch(name: str) -> Response:
        """A WebP of a made-up motif in the manner of a style; no picture of anyone's."""
        data = catalogue.swatch(name)
        if data is None:
            raise HTTPException(404, "style: there is no swatch of it")
        return Response(data, media_type="image/webp", headers=FOR_A_DAY)

    @api.get("/models")
    def models() -> list[ModelOut]:
        """The models that a cloak can be made against; those that are not here: velatura models pull NAME."""
        return catalogue.models()


def _picture(id: str, number: int, upload: Upload) -> Picture:
    place = folder_of(id) / str(number)
    return Picture(number, upload.name, upload.path, place / f"protected{upload.path.suffix}", "protected")


def _settings(wish: Wish, who: Visitor) -> dict[str, Any]:
    """Checked, all of them, before anything is queued."""
    from dataclasses import asdict

    from velatura.cloaks.budget import intensity
    from velatura.images import Delivery
    from velatura.protect import Settings
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


def _upload(queue: JobQueue, id: str) -> Upload:
    found = queue.store.uploads([id])
    if not found:
        raise HTTPException(404, "picture: none of this id; it was deleted, or its time was over")
    return found[0]


def _job(queue: JobQueue, id: str, kind: str = "protect") -> Job:
    job = queue.store.job(id)
    if job is None or job.kind != kind:
        raise HTTPException(404, f"{'job' if kind == 'protect' else kind}: none of this id")
    return job


def _file(path: Path, download: str | None = None, *, stays: bool = False) -> FileResponse:
    """``stays``: a small picture that never changes, which browsers may keep for a day."""
    files().pull(path)
    if not path.is_file():
        raise HTTPException(404, "file: not there, or not yet")
    # What is shown and what is sent is what we wrote or recognised; a browser is not asked to guess.
    kind = "application/json" if path.suffix == ".json" else MEDIA.get(path.suffix, "application/octet-stream")
    return FileResponse(path, media_type=kind, filename=download, headers=FOR_A_DAY if stays else None)
