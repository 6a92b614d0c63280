"""Jobs: ordered, looked at, cancelled, resumed and deleted; and the events that tell how they stand."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from velatura.errors import InputError
from velatura.jobs.queue import folder_of
from velatura.jobs.records import Picture, Upload
from velatura.server.api.parts import NOT_FOUND, REFUSED, Before, Key, Uuid, job_of, settings_of
from velatura.server.job_events import TICK, listening
from velatura.server.policy import Queue, Rules, Who
from velatura.server.schema import PANELS, JobOut, JobSummaryOut, JobWish, Problem


def add_jobs(api: APIRouter) -> None:
    """Routes under /jobs, without the files of their pictures."""

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
        settings = settings_of(wish, who)
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
        return JobOut.of(job_of(queue, id))

    @api.post("/jobs/{id}/cancel", responses=NOT_FOUND | {409: {"model": Problem}})
    def cancel(id: Uuid, queue: Queue) -> JobOut:
        """Stop a job at its next step; what is done stays."""
        if not queue.cancel(job_of(queue, id).id):
            raise HTTPException(409, "job: it is over already")
        return JobOut.of(job_of(queue, id))

    @api.post("/jobs/{id}/resume", responses=NOT_FOUND | {409: {"model": Problem}})
    def resume(id: Uuid, queue: Queue) -> JobOut:
        """Take up a cancelled job again, or the failed pictures of one that is over."""
        if not queue.resume(job_of(queue, id).id):
            raise HTTPException(409, "job: nothing is left to do")
        return JobOut.of(job_of(queue, id))

    @api.delete("/jobs/{id}", status_code=204, responses=NOT_FOUND | {409: {"model": Problem}})
    def delete(id: Uuid, queue: Queue) -> None:
        """Delete a job that is over and its results."""
        if not queue.delete(job_of(queue, id).id):
            raise HTTPException(409, "job: cancel it first")


def add_events(api: APIRouter) -> None:
    """/events."""

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
                yield ServerSentEvent(
                    event="jobs", raw_data=json.dumps([JobSummaryOut.of(job).model_dump() for job in jobs])
                )
            await asyncio.sleep(TICK)


def _picture(id: str, number: int, upload: Upload) -> Picture:
    place = folder_of(id) / str(number)
    return Picture(number, upload.name, upload.path, place / f"protected{upload.path.suffix}", "protected")
