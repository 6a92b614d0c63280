"""The pages. They show what the API tells and call nothing else; without a script they can still be read."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from velatura import __version__
from velatura.jobs.queue import JobQueue
from velatura.jobs.records import Job
from velatura.jobs.store import PAGE
from velatura.reports.verdict import DISTILLED, seen_by_people
from velatura.server import catalogue
from velatura.server.policy import Queue, visitor_of
from velatura.server.schema import JobOut
from velatura.server.uploads import Limits
from velatura.weights import FAMILY_NAMES

Show = Callable[..., Response]  # request, name of the template, what it shows
Uuid = Annotated[str, InPath(pattern=r"^[0-9a-f-]{36}$")]
STATES = {"waiting": "Waiting", "working": "At work", "done": "Done", "failed": "Failed", "cancelled": "Cancelled"}
WORDS = {"protected": "Protected", "unprotected": "Not protected", "nothing": "Nothing to protect", "copied": "A copy"}


def router(show: Show) -> APIRouter:
    """All pages; none is part of the API's description."""
    site = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @site.get("/")
    def start(request: Request) -> Response:
        return show(request, "start.html", {"models": catalogue.models(), "families": FAMILY_NAMES})

    @site.get("/styles")
    def styles(request: Request) -> Response:
        """The list to choose from, fetched when it is opened."""
        return show(request, "_styles.html", {"styles": catalogue.styles()})

    @site.get("/queue")
    def queue(request: Request, queue: Queue, before: float | None = None) -> Response:
        return show(request, "queue.html", _page(queue, before))

    @site.get("/queue/list")
    def queue_list(request: Request, queue: Queue, before: float | None = None) -> Response:
        return show(request, "_queue.html", _page(queue, before))

    @site.get("/jobs/{id}")
    def job(request: Request, id: Uuid, queue: Queue) -> Response:
        return show(request, "job.html", {"job": _job(queue, id)})

    @site.get("/jobs/{id}/list")
    def job_list(request: Request, id: Uuid, queue: Queue) -> Response:
        return show(request, "_job.html", {"job": _job(queue, id)})

    @site.get("/jobs/{id}/{number}")
    def picture(request: Request, id: Uuid, number: int, queue: Queue) -> Response:
        found = _job(queue, id)
        shown = next((p for p in found.pictures if p.number == number and p.state == "done"), None)
        if shown is None:
            raise HTTPException(404, "picture: none of that number is done")
        finished = [p.number for p in found.pictures if p.state == "done"]
        here = finished.index(number)
        before, after = finished[:here], finished[here + 1 :]
        around = {"previous": before[-1] if before else None, "next": after[0] if after else None}
        # What browsers can show at full size; the panels, at the working resolution, they always can.
        native = not shown.download_name.endswith((".tif", ".tiff"))
        return show(request, "picture.html", {"job": found, "picture": shown, "native": native, **around})

    @site.get("/about")
    def about(request: Request) -> Response:
        return show(request, "about.html", {"unknown": DISTILLED})

    return site


def templates(limits: Limits, *, shared: bool = False) -> Show:
    """How all pages are shown; ``shared``: on a server of many users."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    tidy: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **tidy)
    environment.filters |= {"span": span, "day": _day, "percent": lambda share: f"{100 * share:.0f}"}
    environment.filters |= {"family": _family, "seen_by_people": seen_by_people}
    environment.filters["kept"] = lambda days: f"{24 * days:g} hours" if days <= 2 else f"{days:g} days"
    environment.globals |= {"version": __version__, "limits": limits, "shared": shared}
    environment.globals |= {"STATES": STATES, "WORDS": WORDS}
    who = [lambda request: {"visitor": visitor_of(request)}]
    return Jinja2Templates(env=environment, context_processors=who).TemplateResponse


def span(seconds: float | None) -> str:
    """A time that is left, as one would say it."""
    if seconds is None:
        return "a while"
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 100 else f"about {round(minutes / 60)} hours"


def _family(name: str) -> str:
    return FAMILY_NAMES.get(name, name)


def _day(at: float) -> str:
    when = time.localtime(at)
    return f"{when.tm_mday} {time.strftime('%B %Y, %H:%M', when)}"


def _page(queue: JobQueue, before: float | None) -> dict[str, Any]:
    """A page of the queue; ``older``: before when the next one's jobs were ordered, if there may be any."""
    jobs = queue.store.jobs(before=before)
    older = jobs[PAGE - 1].created if len(jobs) >= PAGE else None
    return {"jobs": [JobOut.of(job) for job in jobs], "before": before, "older": older}


def _job(queue: JobQueue, id: str) -> JobOut:
    found: Job | None = queue.store.job(id)
    if found is None or found.kind != "protect":
        raise HTTPException(404, "job: none of this id")
    return JobOut.of(found)
