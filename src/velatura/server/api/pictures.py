"""Pictures that are handed in, before they are ordered."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from velatura.server.api.parts import NOT_FOUND, Uuid, file_at, upload_of
from velatura.server.policy import Queue, Rules, Who
from velatura.server.schema import PictureOut, Problem
from velatura.server.uploads import remove, take_in, too_large


def add_pictures(api: APIRouter) -> None:
    """Routes under /pictures."""
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
        return file_at(upload_of(queue, id).path.with_name("thumbnail.webp"), stays=True)

    @api.delete("/pictures/{id}", status_code=204, responses=NOT_FOUND | {409: {"model": Problem}})
    def take_back(id: Uuid, queue: Queue) -> None:
        """Delete a picture that was handed in; not while a job needs it."""
        upload = upload_of(queue, id)
        queue.forget_previews([upload.path])
        if any(p.source == upload.path for job in queue.store.unfinished() for p in job.pictures):
            raise HTTPException(409, "picture: a job is still at work on it; cancel that first")
        remove(upload, queue.store)
