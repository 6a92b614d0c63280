"""Coming in and going out: pages that ask for a name and a password, and that make a user of an invitation."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from velatura.errors import InputError
from velatura.server.pages import Show
from velatura.server.shared.accounts import Accounts, Unusable, folded
from velatura.server.shared.sessions import SharedSessions, too_often

MOST_FORM = 10_000  # bytes
WRONG = "Name or password is wrong."


def router(accounts: Accounts, sessions: SharedSessions, show: Show) -> APIRouter:
    """/login, /join and /logout; plain forms, which work without a script."""
    site = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    hashing = anyio.CapacityLimiter(2)  # each takes 64 MiB, on purpose

    @site.get("/login")
    def login_page(request: Request, next: str = "/") -> Response:
        return show(request, "login.html", {"next": own(next), "problem": None, "name": ""})

    @site.post("/login")
    async def login(request: Request) -> Response:
        form = await _form(request)
        name, password = form.get("name", ""), form.get("password", "")
        # By name as well: guesses at one user may come from many addresses.
        if not sessions.pace.allows(sessions.pace.attempts, f"name {folded(name)}"):
            return too_often(request.headers)
        user = await anyio.to_thread.run_sync(accounts.login, name, password, limiter=hashing)
        if user is None:
            shown = {"next": own(form.get("next", "/")), "problem": WRONG, "name": name}
            return show(request, "login.html", shown, status_code=401)
        token = await run_in_threadpool(accounts.begin_session, user.id)
        return sessions.let_in(RedirectResponse(own(form.get("next", "/")), 303), token)

    @site.get("/join")
    def join_page(request: Request, invitation: str = "") -> Response:
        try:
            found = accounts.invitation(invitation)
        except Unusable as error:
            return show(request, "join.html", {"token": None, "problem": str(error)}, status_code=403)
        name = accounts.user(found.user).name if found.user else None
        return show(request, "join.html", {"token": invitation, "problem": None, "whose": name, "name": ""})

    @site.post("/join")
    async def join(request: Request) -> Response:
        form = await _form(request)
        token, name = form.get("invitation", ""), form.get("name", "")
        try:
            found = accounts.invitation(token)
            user = await anyio.to_thread.run_sync(accounts.join, token, name, form.get("password", ""), limiter=hashing)
        except Unusable as error:
            return show(request, "join.html", {"token": None, "problem": str(error)}, status_code=403)
        except InputError as error:
            whose = accounts.user(found.user).name if found.user else None
            shown = {"token": token, "problem": str(error), "whose": whose, "name": name}
            return show(request, "join.html", shown, status_code=422)
        session = await run_in_threadpool(accounts.begin_session, user.id)
        return sessions.let_in(RedirectResponse("/", 303), session)

    @site.post("/logout")
    def logout(request: Request) -> Response:
        if token := request.cookies.get(sessions.cookie):
            accounts.end_session(token)
        return sessions.let_out(RedirectResponse("/login", 303))

    return site


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_FORM:
            raise InputError("form: expected less")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def own(path: str) -> str:
    """A path of this server, whatever was asked for."""
    return path if re.fullmatch(r"/(?!/)[\w/.-]*(\?[!-~]*)?", path) else "/"
