"""A shared server put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from velatura.errors import InputError
from velatura.jobs import database
from velatura.jobs.expiry import sweep
from velatura.jobs.queue import JobQueue
from velatura.server import pages
from velatura.server.app import assembled
from velatura.server.shared import account, admin, login_pages
from velatura.server.shared.accounts import Accounts, secret_at
from velatura.server.shared.logging_metrics import Metrics, RequestLog
from velatura.server.shared.quotas import Pace, Quota, SharedPolicy
from velatura.server.shared.sessions import SharedSessions
from velatura.server.shared.webhooks import Caller
from velatura.server.uploads import Limits

SWEEP_EVERY = 300.0  # seconds
log = logging.getLogger("velatura")


@dataclass(frozen=True)
class ServerOptions:
    """How to serve. ``origins``: as browsers name this server, the public one first, such as https://studio.example."""

    origins: Sequence[str]
    limits: Limits = field(default_factory=lambda: Limits(bytes=100_000_000, pictures=200, days=1.0))
    quota: Quota = field(default_factory=Quota)
    pace: Pace = field(default_factory=Pace)
    trusted: frozenset[str] = frozenset()
    worker: bool = True

    def __post_init__(self) -> None:
        for origin in self.origins:
            parts = urlsplit(origin)
            if origin != f"{parts.scheme}://{parts.netloc}".lower() or not parts.hostname:
                raise InputError(f"origin: expected https://HOST in lower case and without a path, got {origin}")
            local = parts.hostname in ("127.0.0.1", "localhost")
            if parts.scheme != "https" and not (parts.scheme == "http" and local):
                raise InputError(f"origin: expected https://, got {origin}; passwords must not travel in the clear")


def create_shared_app(queue: JobQueue, options: ServerOptions) -> tuple[FastAPI, Accounts]:
    """The ASGI application of a shared server, and its users."""
    accounts = Accounts(queue.engine, secret_at(database.home() / "server.secret"))
    sessions = SharedSessions(accounts, options.pace, tuple(options.origins))
    caller = Caller(queue.engine, options.trusted)
    policy = SharedPolicy(options.limits, queue.engine, options.quota, caller.expect, caller.forget, options.pace)
    metrics = Metrics(queue.engine)
    show = pages.templates(options.limits, shared=True)
    routers = [
        login_pages.router(accounts, sessions, show),
        account.router(accounts, sessions, policy, show),
        admin.router(queue, accounts, sessions, policy, metrics, show),
    ]

    async def tidy() -> None:
        while True:
            try:
                await run_in_threadpool(sweep, queue.store)
            except Exception:
                log.exception("deleting what has expired")
            await asyncio.sleep(SWEEP_EVERY)

    app = assembled(queue, sessions, policy, show, worker=options.worker, more=routers, chores=[tidy, caller.call])
    app.add_middleware(RequestLog, metrics=metrics)
    return app, accounts
