"""One look at the database for all who wait for news, however many pages are open."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool

from velatura.jobs.store import Store
from velatura.jobs.summaries import pulses
from velatura.server.policy import visitor_of

TICK = 0.5  # seconds between two looks
MOST_OPEN = 12  # pages of one user that wait for news; each takes a connection


class JobEvents:
    """What changes whenever a job does, by owner; no older than half a tick."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.looking = asyncio.Lock()
        self.looked = 0.0
        self.found: dict[str | None, str] = {}
        self.open: Counter[str | None] = Counter()

    async def pulse(self, owner: str | None) -> str:
        """Of this owner's jobs; None: of all."""
        async with self.looking:
            if time.monotonic() - self.looked > TICK / 2:
                self.found = await run_in_threadpool(pulses, self.store.engine)
                self.looked = time.monotonic()
        return str(self.found) if owner is None else self.found.get(owner, "none")


async def listening(request: Request) -> AsyncIterator[None]:
    """Counts one who waits, for as long as they do."""
    events: JobEvents = request.app.state.events
    owner = visitor_of(request).owner
    if owner is not None and events.open[owner] >= MOST_OPEN:
        raise HTTPException(429, f"events: {MOST_OPEN} pages that wait for news are the most; close some")
    events.open[owner] += 1
    try:
        yield
    finally:
        events.open[owner] -= 1
