"""What a plan costs, before it starts and while it runs: seconds a unit of work, measured on this machine and kept."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

FEWEST_UNITS = 3  # a rate from fewer is not kept: it would be loading time for the most part


@dataclass(frozen=True)
class Cost:
    """Of a stage.

    Attributes:
        kind: of equal kinds a unit takes equal seconds.
        units: of work, in all.
        there: how many of them are there already, asked whenever it is called.
        trial: seconds per unit, by doing a little of it; None: there is no trial of such work.
    """

    kind: str
    units: int
    there: Callable[[], int] = lambda: 0
    trial: Callable[[], float] | None = None


@dataclass(frozen=True)
class Task:
    """A stage's cost as it stood when it was asked: ``units`` of work, ``done`` of them there already.

    ``what``: the stage's name. ``kind``, ``trial``: as in :class:`Cost`.
    """

    what: str
    kind: str
    units: int
    done: int = 0
    trial: Callable[[], float] | None = field(default=None, compare=False, repr=False)

    @property
    def left(self) -> int:
        return self.units - self.done


def known() -> dict[str, float]:
    """Seconds a unit by kind, of earlier runs on this machine."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        tree = json.loads(_file().read_text(encoding="utf-8"))
        return {str(kind): float(seconds) for kind, seconds in tree.items()}
    return {}


def remember(rates: Mapping[str, float]) -> None:
    """Keep rates for later runs; without a cache folder they are measured again."""
    with contextlib.suppress(OSError):
        path = _file()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(known() | dict(rates), indent=1), encoding="utf-8")
        os.replace(temporary, path)


def _file() -> Path:
    root = os.environ.get("VELATURA_CACHE") or platformdirs.user_cache_dir("velatura", appauthor=False)
    return Path(root) / "timings.json"


def seconds(tasks: Sequence[Task], rates: Mapping[str, float]) -> float:
    """What is left of the plan; kinds without a rate count nothing."""
    return sum(task.left * rates.get(task.kind, 0.0) for task in tasks)


def unknown(tasks: Sequence[Task], rates: Mapping[str, float]) -> list[Task]:
    """One task a kind that still has work and no rate."""
    return list({task.kind: task for task in reversed(tasks) if task.left and task.kind not in rates}.values())


def duration(value: float) -> str:
    """Seconds for people: ``40 s``, ``12 min``, ``3 h 20 min``."""
    if value < 90:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


class Progress:
    """How far a whole plan is: told of every step of every stage, it knows what is left and learns the true rates.

    ``later``: tasks that follow when these are done, another artist's.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        rates: Mapping[str, float],
        later: Sequence[Task] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.later = later
        self.tasks = {task.what: task for task in tasks}
        self.rates = dict(rates)
        self.left = {task.what: task.left for task in tasks}
        self._clock = clock
        self._at: tuple[str, float, int] | None = None  # the running stage, when and at how much of it that began

    def __call__(self, what: str, done: int, total: int) -> tuple[float, float]:
        """The share of the plan that is done, 0 to 1, and the seconds that are left."""
        now = self._clock()
        if self._at is None or self._at[0] != what:
            self._finish()
            self._at = (what, now, done)
        task = self.tasks.get(what)
        if task is not None:
            self.left[what] = max(0, total - done)
            self._learn(task.kind, now - self._at[1], done - self._at[2])
        later = seconds(self.later, self.rates)
        left = later + sum(self.left[w] * self.rates.get(t.kind, 0.0) for w, t in self.tasks.items())
        work = later + seconds(list(self.tasks.values()), self.rates)
        return (1 - left / work if work > 0 else 0.0), left

    def _finish(self) -> None:
        """A stage that another one follows is done, whatever it said of itself last; so is one that was skipped."""
        if self._at is not None and self._at[0] in self.left:
            self.left[self._at[0]] = 0

    def _learn(self, kind: str, spent: float, units: int) -> None:
        if units >= FEWEST_UNITS and spent > 0:
            self.rates[kind] = spent / units


def by_share(
    progress: Callable[[str, int, int], tuple[float, float]], clock: Callable[[], float] = time.monotonic
) -> Callable[[str, int, int], tuple[float, float]]:
    """A progress whose stages run several at once: what is left by the share that was done since it began.

    A process's own rates say how much work there is, not how fast several do it.
    """
    start: tuple[float, float] | None = None

    def tell(what: str, done: int, total: int) -> tuple[float, float]:
        nonlocal start
        share, left = progress(what, done, total)
        start = start or (clock(), share)
        began, before = start
        if share > before:
            left = (clock() - began) * (1 - share) / (share - before)
        return share, left

    return tell
