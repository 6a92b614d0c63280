"""For administrators: users, invitations, the queue and the disk. No pictures, no names of files."""

from __future__ import annotations

import shutil
import time
from collections import Counter as Tally
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from velatura.jobs.files import files
from velatura.jobs.queue import JobQueue
from velatura.server.pages import Show
from velatura.server.policy import Visitor, Who
from velatura.server.schema import Problem
from velatura.server.shared.account import Session, forget_artists
from velatura.server.shared.accounts import INVITATION_DAYS, Accounts
from velatura.server.shared.logging_metrics import Metrics
from velatura.server.shared.quotas import SharedPolicy
from velatura.server.shared.sessions import HEALTH, JOIN, SharedSessions


class InvitationWish(BaseModel):
    model_config = ConfigDict(extra="forbid")
    admin: bool = False
    user: str | None = Field(None, max_length=36, description="Whose password it sets anew; none: a new user.")
    days: float = Field(INVITATION_DAYS, gt=0, le=90)


class InvitationLink(BaseModel):
    link: str = Field(description="For one person, once; shown this once.")


class InvitationOut(BaseModel):
    id: str
    admin: bool
    user: str | None
    expires: float


class UserOut(BaseModel):
    id: str
    name: str
    admin: bool
    disabled: bool
    seen: float
    pictures_today: int
    pictures_kept: int
    bytes_kept: int


class QueuedOut(BaseModel):
    id: str
    user: str | None
    kind: str
    state: str
    pictures: int
    done: int
    created: float


class ServerOut(BaseModel):
    users: list[UserOut]
    invitations: list[InvitationOut]
    queue: list[QueuedOut]
    jobs: dict[str, int]
    disk_free: int
    disk_total: int


def as_admin(visitor: Session) -> Visitor:
    if not visitor.admin:
        raise HTTPException(403, "admin: expected an administrator")
    return visitor


def may_measure(visitor: Who) -> Visitor:
    """With an API key as well: Prometheus has no password."""
    if not visitor.admin:
        raise HTTPException(403, "metrics: expected an administrator's API key")
    return visitor


Admin = Annotated[Visitor, Depends(as_admin)]
Measuring = Annotated[Visitor, Depends(may_measure)]


def router(
    queue: JobQueue, accounts: Accounts, sessions: SharedSessions, policy: SharedPolicy, counted: Metrics, show: Show
) -> APIRouter:
    refused = {403: {"model": Problem}, 404: {"model": Problem}}
    site = APIRouter(responses=refused)  # type: ignore[arg-type]

    @site.get("/admin", include_in_schema=False, response_class=HTMLResponse)
    def page(request: Request, who: Admin) -> Response:
        return show(request, "admin.html", {"server": standing(queue, accounts, policy)})

    @site.get("/api/admin")
    def server(who: Admin) -> ServerOut:
        """Users, open invitations, the queue, the disk."""
        return standing(queue, accounts, policy)

    @site.post("/api/admin/invitations", status_code=201)
    def invite(wish: InvitationWish, who: Admin) -> InvitationLink:
        """Invite a user, or let one set a new password."""
        if wish.user is not None:
            accounts.user(wish.user)
        token = accounts.invite(admin=wish.admin, user=wish.user, days=wish.days)
        return InvitationLink(link=invitation_link(sessions, token))

    @site.delete("/api/admin/invitations/{id}", status_code=204)
    def withdraw(id: str, who: Admin) -> None:
        if not accounts.withdraw(id):
            raise HTTPException(404, "invitation: none of this id that is still open")

    @site.post("/api/admin/users/{id}/disable", status_code=204)
    def disable(id: str, who: Admin) -> None:
        """Keep a user out; what they queued is cancelled, what they have is deleted in its time."""
        accounts.set_disabled(id, True)
        own = queue.of(id)
        for job in own.store.unfinished():
            own.cancel(job.id)

    @site.post("/api/admin/users/{id}/enable", status_code=204)
    def enable(id: str, who: Admin) -> None:
        accounts.user(id)
        accounts.set_disabled(id, False)

    @site.delete("/api/admin/users/{id}", status_code=204)
    def delete(id: str, who: Admin) -> None:
        """Delete a user and everything of theirs."""
        user = accounts.user(id)
        accounts.delete(user.id)
        queue.of(user.id).delete_all()
        forget_artists(Visitor(user.id))

    @site.post("/api/admin/jobs/{id}/cancel", status_code=204)
    def cancel(id: str, who: Admin) -> None:
        """Cancel anyone's job; what is done stays, and its user can take it up again."""
        if not queue.cancel(id):
            raise HTTPException(404, "job: none of this id that is not over")

    @site.get("/metrics", include_in_schema=False)
    def metrics(who: Measuring) -> Response:
        return Response(counted.text(), media_type="text/plain; version=0.0.4")

    @site.get(HEALTH, include_in_schema=False)
    def health() -> Response:
        """200 as long as the database answers and the disk has room."""
        room = shutil.disk_usage(files().root).free > 500_000_000
        try:
            accounts.is_empty()
        except Exception:
            return JSONResponse({"status": "the database does not answer"}, 503)
        return JSONResponse({"status": "ok"}) if room else JSONResponse({"status": "the disk is full"}, 503)

    return site


def standing(queue: JobQueue, accounts: Accounts, policy: SharedPolicy) -> ServerOut:
    people = accounts.users()
    names = {user.id: user.name for user in people}
    users = []
    for user in people:
        count, size = policy.held(user.id)
        facts = {name: getattr(user, name) for name in ("id", "name", "admin", "disabled", "seen")}
        users.append(UserOut(**facts, pictures_today=policy.spent(user.id), pictures_kept=count, bytes_kept=size))
    queued = []
    for job in queue.store.unfinished():
        facts = {name: getattr(job, name) for name in ("id", "kind", "state", "created")}
        done = job.count("done") + job.count("failed")
        owner = names.get(job.owner or "")
        queued.append(QueuedOut(**facts, user=owner, pictures=len(job.pictures), done=done))
    disk = shutil.disk_usage(files().root)
    open_ones = [
        InvitationOut(id=i.id, admin=i.admin, user=names.get(i.user or ""), expires=i.expires)
        for i in accounts.invitations()
        if i.used is None and i.expires > time.time()
    ]
    return ServerOut(
        users=users,
        invitations=open_ones,
        queue=queued,
        jobs=dict(Tally(job.state for job in queue.store.jobs(most=1000))),
        disk_free=disk.free,
        disk_total=disk.total,
    )


def invitation_link(sessions: SharedSessions, token: str) -> str:
    return f"{next(iter(sessions.origins))}{JOIN}?invitation={token}"
