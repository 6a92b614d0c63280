"""How much a user may have, and how often anyone may ask."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from velatura.jobs import database
from velatura.jobs.files import files
from velatura.server.policy import Admitted, Arrival, Policy, TooMuch, Visitor
from velatura.server.shared.tables import usage
from velatura.server.uploads import TooLarge

LEAST_DISK = 2_000_000_000  # bytes that stay free
MOST_ARRIVING = 8  # pictures of one user; the pages send one after the other


@dataclass(frozen=True)
class Quota:
    """Of one user: pictures ordered in a day (UTC), pictures handed in and kept, and their bytes."""

    pictures: int = 200
    kept: int = 1000
    bytes: int = 2_000_000_000


@dataclass(frozen=True)
class SharedPolicy(Policy):
    """What is allowed on a shared server. ``expect``: notes where to call when a job is over; ``forget``: not to.

    ``on_their_way``: pictures that arrive, by user; in memory, since one process serves.
    """

    engine: sa.Engine
    quota: Quota
    expect: Callable[[str, str, str], None]  # job, user, address
    forget: Callable[[str], None]  # job
    pace: Pace
    on_their_way: dict[str | None, list[Arrival]] = field(default_factory=dict)

    def room(self, visitor: Visitor, arrival: Arrival | None = None) -> int:
        """Bytes that the next picture, or this one, may have."""
        if shutil.disk_usage(files().root).free < LEAST_DISK:
            raise TooLarge("server: its disk is nearly full; try again later, or tell its administrator")
        kept, size = self.held(visitor.owner)
        size += sum(other.size for other in self.on_their_way.get(visitor.owner, []) if other is not arrival)
        if kept >= self.quota.kept or size >= self.quota.bytes:
            most = f"{self.quota.kept} pictures and {self.quota.bytes / 1e6:g} MB"
            raise TooMuch(f"quota: at most {most} are kept at a time; delete some, or wait until their time is over")
        return min(self.limits.bytes, self.quota.bytes - size)

    @contextlib.contextmanager
    def arriving(self, visitor: Visitor) -> Iterator[Arrival]:
        others = self.on_their_way.setdefault(visitor.owner, [])
        if len(others) >= MOST_ARRIVING:
            raise TooMuch(f"pictures: at most {MOST_ARRIVING} may be on their way at a time; send the next after them")
        arrival = Arrival()
        others.append(arrival)
        try:
            yield arrival
        finally:
            others.remove(arrival)

    @contextlib.contextmanager
    def admitted(self, visitor: Visitor, job: str, pictures: int, webhook: str | None) -> Iterator[Admitted]:
        admitted = Admitted()
        if visitor.owner is None:
            yield admitted
            return
        self.spend(visitor.owner, pictures)
        try:
            if webhook is not None:
                self.expect(job, visitor.owner, webhook)
            yield admitted
        finally:
            if not admitted.used:
                self.give_back(visitor.owner, pictures)
                self.forget(job)

    def preview(self, visitor: Visitor) -> None:
        if not self.pace.allows(self.pace.previews, f"preview of {visitor.owner}"):
            raise TooMuch(f"previews: at most {self.pace.previews.amount} a minute; wait a moment")

    def held(self, user: str | None) -> tuple[int, int]:
        """Pictures that are kept for a user, and their bytes as they were handed in."""
        table = database.uploads
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(table.c.size), 0)).where(table.c.owner == user)
        with self.engine.connect() as connection:
            count, size = connection.execute(query).one()
        return int(count), int(size)

    def spent(self, user: str) -> int:
        """Pictures that a user has ordered today."""
        today = (usage.c.user == user) & (usage.c.day == _today())
        with self.engine.connect() as connection:
            return connection.execute(sa.select(usage.c.pictures).where(today)).scalar() or 0

    def spend(self, user: str, pictures: int) -> None:
        """Count pictures that are ordered. Raises :class:`TooMuch` where they are more than are left for today."""
        today = _today()
        self._open(user, today)
        fits = (usage.c.user == user) & (usage.c.day == today) & (usage.c.pictures + pictures <= self.quota.pictures)
        # One statement looks and counts: two orders at the same time cannot both have what is left for one.
        more = usage.update().where(fits).values(pictures=usage.c.pictures + pictures)
        with self.engine.begin() as connection:
            if not connection.execute(more).rowcount:
                raise TooMuch(f"quota: at most {self.quota.pictures} pictures a day (UTC); go on tomorrow")

    def give_back(self, user: str, pictures: int) -> None:
        """Pictures that were counted and not ordered after all."""
        today = (usage.c.user == user) & (usage.c.day == _today()) & (usage.c.pictures >= pictures)
        with self.engine.begin() as connection:
            connection.execute(usage.update().where(today).values(pictures=usage.c.pictures - pictures))

    def _open(self, user: str, day: str) -> None:
        """See to it that the day has its row, and no earlier one has: another order may be doing the same."""
        mine = usage.c.user == user
        with contextlib.suppress(sa.exc.IntegrityError), self.engine.begin() as connection:
            if connection.execute(sa.select(usage.c.user).where(mine & (usage.c.day == day))).first() is None:
                connection.execute(usage.delete().where(mine & (usage.c.day < day)))
                connection.execute(usage.insert().values(user=user, day=day, pictures=0))


@dataclass(frozen=True)
class Pace:
    """How often anyone may ask; kept in memory, since one process serves."""

    reading: RateLimitItem = field(default_factory=lambda: parse("1200/minute"))
    writing: RateLimitItem = field(default_factory=lambda: parse("600/minute"))
    strangers: RateLimitItem = field(default_factory=lambda: parse("60/minute"))
    previews: RateLimitItem = field(default_factory=lambda: parse("20/minute"))  # they go before everybody's batches
    attempts: RateLimitItem = field(default_factory=lambda: parse("10/minute"))  # at a password or an invitation
    limiter: MovingWindowRateLimiter = field(default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()))

    def allows(self, what: RateLimitItem, whom: str) -> bool:
        """Count this, if it is still allowed."""
        return self.limiter.hit(what, whom)


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
