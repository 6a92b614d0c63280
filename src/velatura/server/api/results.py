"""What comes out: the files of a job's pictures, and previews."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, StreamingResponse

from velatura.jobs.queue import folder_of
from velatura.jobs.records import Picture
from velatura.server.api.parts import NOT_FOUND, REFUSED, Uuid, file_at, job_of, settings_of, upload_of
from velatura.server.archive import here, zipped
from velatura.server.policy import Queue, Rules, Who
from velatura.server.schema import PANELS, Panel, PreviewOut, PreviewWish, download_name

PREVIEW_HOURS = 1.0


def add_files(api: APIRouter) -> None:
    """Routes under /jobs/ID to what was made."""

    @api.get("/jobs/{id}/pictures/{number}/{panel}", response_class=FileResponse, responses=NOT_FOUND)
    def panel(id: Uuid, number: int, panel: Panel, queue: Queue, download: bool = False) -> FileResponse:
        """A file of a picture: the result, the original, the report, or a panel at the working resolution."""
        job = job_of(queue, id)
        picture = next((p for p in job.pictures if p.number == number), None)
        if picture is None:
            raise HTTPException(404, "picture: this job has none of that number")
        ends = {"report": "report.json"}
        small = picture.source.with_name("thumbnail.webp")
        paths = {"result": picture.output, "original": picture.source, "thumbnail": small}
        path = paths.get(panel) or picture.task.beside(ends.get(panel, f"{panel}.png"))
        stays = panel == "thumbnail" or (picture.state == "done" and f"{panel}.png" in PANELS)
        return file_at(path, download_name(picture) if download else None, stays=stays)

    @api.get("/jobs/{id}/zip", response_class=StreamingResponse, responses=NOT_FOUND)
    def archive(id: Uuid, queue: Queue) -> StreamingResponse:
        """All results of a job under the pictures' own names."""
        job = job_of(queue, id)
        done = [(download_name(p), p.output) for p in job.pictures if p.state == "done"]
        if not any(here(path) for _, path in done):  # the others when their turn comes
            raise HTTPException(404, "job: no picture of it is done yet")
        pieces: Iterator[bytes] = zipped(done)
        name = f"velatura-{time.strftime('%Y-%m-%d', time.localtime(job.created))}-{id[:8]}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)


def add_previews(api: APIRouter) -> None:
    """Routes under /previews."""

    @api.post("/previews", status_code=202, responses=NOT_FOUND | REFUSED)
    def order_preview(wish: PreviewWish, queue: Queue, policy: Rules, who: Who) -> PreviewOut:
        """A quick look at a part of a picture; the one that was asked for before is given up."""
        upload = upload_of(queue, wish.picture)
        policy.preview(who)
        for job in queue.store.unfinished():
            if job.kind == "preview":
                queue.cancel(job.id)
        id = str(uuid.uuid4())
        ordered = {"settings": settings_of(wish, who), "x": wish.x, "y": wish.y}
        picture = Picture(0, upload.name, upload.path, folder_of(id) / "after.png", "part")
        return PreviewOut.of(queue.submit([picture], ordered, kind="preview", id=id, keep_days=PREVIEW_HOURS / 24))

    @api.get("/previews/{id}", responses=NOT_FOUND)
    def one_preview(id: Uuid, queue: Queue) -> PreviewOut:
        return PreviewOut.of(job_of(queue, id, "preview"))

    @api.get("/previews/{id}/before", response_class=FileResponse, responses=NOT_FOUND)
    def before(id: Uuid, queue: Queue) -> FileResponse:
        """The part as it is, at the working resolution."""
        return file_at(job_of(queue, id, "preview").pictures[0].task.beside("before.png"))

    @api.get("/previews/{id}/after", response_class=FileResponse, responses=NOT_FOUND)
    def after(id: Uuid, queue: Queue) -> FileResponse:
        """The part cloaked, about as the whole will be."""
        return file_at(job_of(queue, id, "preview").pictures[0].output)
