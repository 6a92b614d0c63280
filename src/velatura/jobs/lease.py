"""What a worker holds while it works on a picture: the picture, and the device.

A lease tells how far the work is, and admits one delivery.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from velatura.errors import Cancelled
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


class DeviceLock:
    """At most one thread at a time holds the device; those in a hurry go first.

    So a preview is let in between two gradient steps of a batch.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.taken = False
        self.hurried = 0  # who wait and are in a hurry

    @contextmanager
    def held(self, *, hurry: bool = False) -> Iterator[None]:
        """Wait for the device, keep it, give it back."""
        with self.changed:
            self.hurried += hurry
            try:
                self.changed.wait_for(lambda: not self.taken and (hurry or not self.hurried))
                self.taken = True
            finally:
                self.hurried -= hurry
        try:
            yield
        finally:
            self._release()

    def give_way(self) -> None:
        """Called while it is held, between two steps: let those in a hurry go first, then go on."""
        if self.hurried:
            self._release()
            with self.changed:
                self.changed.wait_for(lambda: not self.taken and not self.hurried)
                self.taken = True

    def _release(self) -> None:
        with self.changed:
            self.taken = False
            self.changed.notify_all()


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
