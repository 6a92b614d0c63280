"""The application put together: guard, API, pages, and the worker that it keeps at hand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from velatura import __version__
from velatura.errors import ImageError, InputError, VelaturaError
from velatura.jobs.database import home
from velatura.jobs.expiry import has_expired
from velatura.jobs.files import files
from velatura.jobs.queue import JobQueue
from velatura.server import api, artists, pages, study_pages
from velatura.server.catalogue import STATIC
from velatura.server.guard import STUDY, Guard, LaunchSessions, Sessions, Ticket, wants_page
from velatura.server.job_events import JobEvents
from velatura.server.policy import Policy, TooMuch
from velatura.server.uploads import Limits, TooLarge

MOST_JSON = 1_000_000  # bytes of a request that is not a picture
LOOK_AFTER, LONGEST_PATIENCE = 1.0, 60.0  # seconds
Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]
log = logging.getLogger("velatura")


@dataclass(frozen=True)
class Launch:
    """One launch of the application. ``worker``: whether to keep one running."""

    port: int
    token: str = field(repr=False)
    ticket: Ticket = field(default_factory=Ticket, repr=False)
    worker: bool = True
    limits: Limits = field(default_factory=Limits)

    @property
    def address(self) -> str:
        """What to open in a browser: the token in it is turned into a cookie."""
        return self._address(self.token)

    @property
    def opening(self) -> str:
        """What to start a browser with: the same, once."""
        return self._address(self.ticket.value)

    def _address(self, token: str) -> str:
        return f"http://127.0.0.1:{self.port}/?token={token}"


def create_app(queue: JobQueue, launch: Launch) -> FastAPI:
    """The ASGI application of one launch, on the artist's own machine."""
    sessions = LaunchSessions(launch.port, launch.token, launch.ticket)
    return assembled(queue, sessions, Policy(launch.limits), pages.templates(launch.limits), worker=launch.worker)


def assembled(
    queue: JobQueue,
    sessions: Sessions,
    policy: Policy,
    show: pages.Show,
    *,
    worker: bool = True,
    more: Sequence[APIRouter] = (),
    chores: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
) -> FastAPI:
    """The application, for whom ``sessions`` lets in. ``more``: routes besides the common ones.

    ``chores``: run as long as it does.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # The first picture that is dropped should not wait for torch.
        threading.Thread(target=_warm_up, daemon=True).start()
        work = [*chores]
        if worker:
            work.append(partial(_keep_a_worker, queue))
        tasks = [asyncio.create_task(chore()) for chore in work]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(
        title="Velatura",
        version=__version__,
        description="Protect pictures against style mimicry. Friction, not a guarantee.",
        openapi_url="/api/openapi.json",
        # FastAPI's own pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        max_body_size=MOST_JSON,
        lifespan=lifespan,
    )
    if queue.engine.dialect.name == "postgresql":  # whose workers may be on other machines
        files().check(queue.engine)
    app.state.queue, app.state.policy, app.state.events = queue, policy, JobEvents(queue.store)
    app.add_middleware(Guard, sessions=sessions)
    handlers: dict[type[Exception], Handler] = {
        VelaturaError: _problem,
        HTTPException: http_exception_handler,
        RequestValidationError: request_validation_exception_handler,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, partial(_shown, show, handler))
    for router in (api.router(), pages.router(show), artists.router(show), study_pages.router(queue), *more):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


async def _shown(show: pages.Show, handler: Handler, request: Request, error: Exception) -> Response:
    """An error as a page to someone who looks at pages, as the API says it to all others."""
    answer: Response = await handler(request, error)
    path = request.url.path
    if path.startswith("/api/") or not wants_page(request.headers):
        return answer
    detail = "" if isinstance(error, RequestValidationError) else str(getattr(error, "detail", error))
    about = {"status": answer.status_code, "detail": detail, "rater": path.startswith(STUDY)}
    return show(request, "error.html", about, answer.status_code, getattr(error, "headers", None))


async def _problem(_: Request, error: Exception) -> Response:
    """An error that is meant for a person, as the API says it."""
    # The first that fits.
    codes: dict[type[Exception], int] = {TooMuch: 429, TooLarge: 413, ImageError: 415, InputError: 422}
    status = next((code for kind, code in codes.items() if isinstance(error, kind)), 400)
    return JSONResponse({"detail": str(error)}, status)


def _warm_up() -> None:
    with contextlib.suppress(Exception):  # said when it is needed
        import velatura.protection  # noqa: F401


async def _keep_a_worker(queue: JobQueue) -> None:
    """Start a worker, and another whenever there is work and none at it; end it with the application."""
    worker: subprocess.Popen[bytes] | None = None
    patience, wanted = LOOK_AFTER, True  # the first preview should not wait for torch
    try:
        while True:
            if worker is not None and worker.poll() is None:
                patience = LOOK_AFTER
            else:
                try:
                    if wanted or await run_in_threadpool(lambda: queue.store.is_busy() or has_expired(queue.store)):
                        if worker is not None and worker.returncode:
                            log.error(
                                "the worker ended with status %s; see worker.log in %s", worker.returncode, home()
                            )
                            patience = min(2 * patience, LONGEST_PATIENCE)
                        wanted, worker = False, await run_in_threadpool(queue.ensure_worker)
                except Exception as error:  # a full disk, a database that is away: may be better in a moment
                    log.error(
                        "no worker could be started (%s: %s)", type(error).__name__, getattr(error, "strerror", "")
                    )
                    patience = min(2 * patience, LONGEST_PATIENCE)
            await asyncio.sleep(patience)
    finally:
        if worker is not None:
            await run_in_threadpool(queue.end_worker, worker)  # what it was at is taken up at the next launch
