"""A user's own account: password, API keys, and deleting all of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from velatura.server.pages import Show
from velatura.server.policy import Queue, Visitor, Who
from velatura.server.schema import Problem
from velatura.server.shared.accounts import Accounts
from velatura.server.shared.quotas import SharedPolicy
from velatura.server.shared.sessions import SharedSessions


class PasswordWish(BaseModel):
    model_config = ConfigDict(extra="forbid")
    present: str = Field(max_length=1000)
    new: str = Field(max_length=1000)


class KeyWish(BaseModel):
    model_config = ConfigDict(extra="forbid")
    label: str = Field(min_length=1, max_length=60, description="What it is for.")


class KeyOut(BaseModel):
    id: str
    label: str
    created: float


class NewKey(BaseModel):
    key: str = Field(description="Shown this once; kept as a digest.")


class AccountOut(BaseModel):
    """How much is used of what is allowed."""

    name: str
    admin: bool
    pictures_today: int
    pictures_a_day: int
    pictures_kept: int
    bytes_kept: int
    bytes_allowed: int
    webhook_secret: str = Field(description="Webhooks are signed with it, as standardwebhooks.com describes.")


def in_session(visitor: Who) -> Visitor:
    """Who came with a password; an API key that was lost should not be able to lock its owner out."""
    if visitor.by != "cookie" or visitor.owner is None:
        raise HTTPException(403, "account: expected a session; log in with your password")
    return visitor


Session = Annotated[Visitor, Depends(in_session)]


def router(accounts: Accounts, sessions: SharedSessions, policy: SharedPolicy, show: Show) -> APIRouter:
    refused = {403: {"model": Problem}, 404: {"model": Problem}}
    site = APIRouter(responses=refused)  # type: ignore[arg-type]

    def standing(who: Visitor) -> AccountOut:
        assert who.owner is not None
        count, size = policy.held(who.owner)
        return AccountOut(
            name=who.name,
            admin=who.admin,
            pictures_today=policy.spent(who.owner),
            pictures_a_day=policy.quota.pictures,
            pictures_kept=count,
            bytes_kept=size,
            bytes_allowed=policy.quota.bytes,
            webhook_secret=accounts.user(who.owner).webhook_secret,
        )

    @site.get("/account", include_in_schema=False, response_class=HTMLResponse)
    def page(request: Request, who: Session) -> Response:
        return show(request, "account.html", {"account": standing(who), "keys": _keys(accounts, who)})

    @site.get("/api/account")
    def account(who: Session) -> AccountOut:
        return standing(who)

    @site.post("/api/account/password", status_code=204)
    def change_password(wish: PasswordWish, who: Session, response: Response) -> None:
        """Change the password; every session ends, and this one begins anew."""
        assert who.owner is not None
        if not sessions.pace.allows(sessions.pace.attempts, f"password {who.owner}"):
            raise HTTPException(429, "rate: too many attempts; wait a minute")
        accounts.set_password(who.owner, wish.present, wish.new)
        sessions.let_in(response, accounts.begin_session(who.owner))

    @site.get("/api/account/keys")
    def all_keys(who: Session) -> list[KeyOut]:
        return _keys(accounts, who)

    @site.post("/api/account/keys", status_code=201)
    def make_key(wish: KeyWish, who: Session) -> NewKey:
        """An API key, for programs: ``Authorization: Bearer KEY``."""
        assert who.owner is not None
        if len(accounts.keys(who.owner)) >= 20:
            raise HTTPException(409, "keys: 20 is the most; delete one first")
        return NewKey(key=accounts.make_key(who.owner, wish.label))

    @site.delete("/api/account/keys/{id}", status_code=204)
    def drop_key(id: str, who: Session) -> None:
        if not accounts.drop_key(str(who.owner), id):
            raise HTTPException(404, "key: none of this id")

    @site.delete("/api/account/pictures", status_code=204)
    def delete_pictures(who: Session, queue: Queue) -> None:
        """Cancel and delete all jobs, their results, and all pictures that were handed in, at once."""
        queue.delete_all()

    @site.delete("/api/account", status_code=204)
    def delete_account(who: Session, queue: Queue) -> None:
        """Delete the user, and everything of theirs."""
        accounts.delete(str(who.owner))  # first: it may be refused, and nothing new can come after it
        queue.delete_all()
        forget_artists(who)

    return site


def forget_artists(who: Visitor) -> None:
    """The target styles that are kept for a user's names."""
    from velatura.styles.choose import forget, profiles

    for name in profiles():
        if name.endswith(who.artist("")):
            forget(name)


def _keys(accounts: Accounts, who: Visitor) -> list[KeyOut]:
    return [KeyOut(id=id, label=label, created=at) for id, label, at in accounts.keys(str(who.owner))]
