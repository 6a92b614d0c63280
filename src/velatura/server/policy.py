"""Who is asking, and what the policy allows: all within its limits on one's own machine, less on a shared server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request

from velatura.errors import InputError
from velatura.jobs.queue import JobQueue
from velatura.server.uploads import Limits


class TooMuch(InputError):
    """More than this visitor may have, or too often."""


VISITOR = "velatura.visitor"  # in the ASGI scope; the guard puts it there


@dataclass(frozen=True)
class Visitor:
    """Who is asking. ``owner``: a user's id; None where one person has it all. ``by``: what they showed for it."""

    owner: str | None = None
    name: str = ""
    admin: bool = False
    by: Literal["cookie", "key", "nothing"] = "cookie"

    def artist(self, name: str) -> str:
        """The name under which an artist's T is kept: two users may call an artist the same."""
        return name if self.owner is None else f"{name} ({self.owner[:8]})"


@dataclass(eq=False)
class Arrival:
    """A picture on its way."""

    size: int = 0  # bytes that are here

    async def counted(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            self.size += len(piece)
            yield piece


@dataclass
class Admitted:
    """A job that may be ordered; whether it was."""

    used: bool = False


@dataclass(frozen=True)
class Policy:
    """What is allowed on the artist's own machine."""

    limits: Limits

    def room(self, visitor: Visitor, arrival: Arrival | None = None) -> int:
        """Bytes that the next picture, or this one, may have. Raises where there is no room for another."""
        return self.limits.bytes

    @contextmanager
    def arriving(self, visitor: Visitor) -> Iterator[Arrival]:
        """While a picture is handed in. Raises where too many are."""
        yield Arrival()

    @contextmanager
    def admitted(self, visitor: Visitor, job: str, pictures: int, webhook: str | None) -> Iterator[Admitted]:
        """While ``job`` is ordered; what it costs is given back where it was not. Raises where it may not be."""
        if webhook is not None:
            raise InputError("webhook: expected none; a shared server calls back, the local application does not")
        yield Admitted()

    def preview(self, visitor: Visitor) -> None:
        """Before a preview, whose turn comes before any batch's. Raises where it may not be."""


def visitor_of(request: Request) -> Visitor:
    """Who is asking, as the guard found."""
    found: Visitor = request.scope.get(VISITOR) or Visitor(by="nothing")
    return found


def queue_for(request: Request) -> JobQueue:
    """The queue as the visitor may see it."""
    queue: JobQueue = request.app.state.queue
    return queue.of(visitor_of(request).owner)


def policy_of(request: Request) -> Policy:
    policy: Policy = request.app.state.policy
    return policy


Who = Annotated[Visitor, Depends(visitor_of)]
Queue = Annotated[JobQueue, Depends(queue_for)]
Rules = Annotated[Policy, Depends(policy_of)]
