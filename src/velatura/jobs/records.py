"""What the store holds: a job, its pictures, an uploaded picture; and how they become rows of its tables and back.

Times are seconds since 1970.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from velatura.jobs.files import files
from velatura.reports.places import Task

# A job: waiting, working, done (some pictures may have failed), cancelled, or failed as a whole.
# A picture: waiting, working, done or failed.
State = Literal["waiting", "working", "done", "failed", "cancelled"]
Kind = Literal["protect", "preview", "evaluate"]  # of an experiment, the "pictures" are its parts
UNFINISHED = ("waiting", "working")
OVER = ("done", "failed", "cancelled")
_PATHS = ("source", "output", "path")
BY_STEPS = 0.95  # of a picture; reading, fitting to the file and measuring take time before and after the steps


@dataclass(frozen=True)
class Picture:
    """One picture of a job.

    ``name`` is what the person called it, for showing; ``source``, ``output`` and ``title`` (the stem of the files
    beside it) are where it lies and goes. ``step`` of ``steps`` gradient steps are done. ``summary`` is what a list
    shows of the report: verdict, sentence, advice, flags, LPIPS.
    """

    number: int
    name: str
    source: Path
    output: Path
    title: str
    stamp: str = ""
    state: State = "waiting"
    step: int = 0
    steps: int = 0
    attempts: int = 0
    seconds: float = 0.0
    error: str = ""
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        return Task(self.source, self.output, self.title)

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        if self.state in ("done", "failed"):
            return 1.0
        return BY_STEPS * self.step / self.steps if self.steps else 0.0


@dataclass(frozen=True)
class Job:
    """An order. ``run`` counts how often it was begun or resumed; ``order`` is what was asked for; ``choice`` the T.

    ``owner``: the user of a shared server who gave it; None on one's own machine.
    """

    id: str
    kind: Kind
    run: int
    state: State
    order: dict[str, Any]
    created: float
    expires: float
    finished: float | None = None
    reason: str = ""
    choice: dict[str, Any] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    owner: str | None = None

    @property
    def unfinished(self) -> bool:
        return self.state in UNFINISHED

    def count(self, state: State) -> int:
        return sum(picture.state == state for picture in self.pictures)

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return sum(p.share for p in self.pictures) / max(1, len(self.pictures))

    @property
    def seconds_left(self) -> float | None:
        """Seconds of work left, by what its pictures took so far; None before anything is known."""
        if not self.unfinished:
            return 0.0
        known = [p.seconds / p.share for p in self.pictures if p.share > 0 and p.seconds > 0 and p.state != "failed"]
        if not known:
            return None
        each = sum(known) / len(known)
        return sum(each * (1 - p.share) for p in self.pictures)


@dataclass(frozen=True)
class Upload:
    """A picture that was handed in and waits for an order."""

    id: str
    name: str
    path: Path
    format: str
    width: int
    height: int
    size: int
    created: float
    expires: float
    owner: str | None = None


def row_of(record: Picture | Upload) -> dict[str, Any]:
    """A record as its table keeps it."""
    row = asdict(record)
    row |= {name: files().stored(row[name]) for name in _PATHS if name in row}
    return row | ({"title": os.fsencode(row["title"])} if "title" in row else {})


def record_of(kind: Any, row: Any) -> Any:
    """A row as the record that it was made of."""
    values = {field.name: row[field.name] for field in fields(kind)}
    values |= {name: files().found(values[name]) for name in _PATHS if name in values}
    return kind(**values | ({"title": os.fsdecode(values["title"])} if "title" in values else {}))
