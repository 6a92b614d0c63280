"""A worker's lease on one picture: it tells how far the work is, and admits one delivery."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from velatura.errors import Cancelled
from velatura.jobs.device_lock import DeviceLock
from velatura.jobs.files import files
from velatura.jobs.records import Job, Picture
from velatura.jobs.store import Store

WRITE_EVERY = 0.5  # seconds between two entries of progress
# What may lie beside a result; the report first, by which what was cut short is recognised: see ``places.earlier``.
PLACES = (
    "report.json",
    *("sheet.png", "target.png", "before.png", "after.png", "difference.png", "seen-before.png", "seen-after.png"),
)


class Superseded(Cancelled):
    """Another worker has taken this picture over, or its job was cancelled: nothing may be written any more."""


@dataclass
class Lease:
    """Called with steps done and steps in all; may raise Cancelled."""

    store: Store
    device_lock: DeviceLock
    job: Job
    picture: Picture
    attempt: int
    worker: str
    hurry: bool = False
    started: float = field(default_factory=time.monotonic)
    written: float = field(default_factory=time.monotonic)

    def __call__(self, step: int, steps: int) -> None:
        now = time.monotonic()
        if now - self.written >= WRITE_EVERY or step == steps:
            self.written = now
            if self.store.is_stopped(self.job.id, self.job.run):
                raise Cancelled("cancelled")
            self.enter(step=step, steps=steps, seconds=now - self.started)
        if not self.hurry:
            self.device_lock.give_way()

    def enter(self, **values: object) -> None:
        """Change the picture's row, as long as this attempt is the latest."""
        if not self.store.set_picture(self.job.id, self.picture.number, self.attempt, self.job.run, **values):
            raise Superseded("another worker has taken this picture over")

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Write the results inside: in no other attempt will they be written. Raises :class:`Superseded`."""
        job, picture = self.job, self.picture
        with self.store.delivery(job.id, job.run, picture.number, self.attempt, self.worker) as allowed:
            if not allowed:
                raise Superseded("another worker has taken this picture over")
            yield
            files().push(*map(picture.task.beside, PLACES), picture.output)

    def fetch(self) -> None:
        """Bring what the work needs, and what an earlier attempt may have left, to this machine."""
        files().pull(self.picture.source, self.picture.output, *map(self.picture.task.beside, PLACES))
