"""One look at the database for all who wait for news, however many pages are open."""

from __future__ import annotations

import asyncio
import time

from starlette.concurrency import run_in_threadpool

from velatura.jobs.ledger import Ledger

TICK = 0.5  # seconds between two looks


class News:
    """What changes whenever a job does, by owner; no older than half a tick."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.looking = asyncio.Lock()
        self.looked = 0.0
        self.found: dict[str | None, str] = {}

    async def pulse(self, owner: str | None) -> str:
        """Of this owner's jobs; None: of all."""
        async with self.looking:
            if time.monotonic() - self.looked > TICK / 2:
                self.found = await run_in_threadpool(self.ledger.pulses)
                self.looked = time.monotonic()
        return str(self.found) if owner is None else self.found.get(owner, "none")
