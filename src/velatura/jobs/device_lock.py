"""One device, and several who want it: a preview is let in between two gradient steps of a batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class DeviceLock:
    """At most one thread at a time holds the device; those in a hurry go first."""

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
