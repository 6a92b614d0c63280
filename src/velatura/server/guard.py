"""Who may ask: any page in the browser can send requests to any server, so being asked proves nothing.

A request must name this server as its Host (a foreign name that resolves here does not), must not come from another
origin, and must be let in by its sessions: :class:`LaunchSessions` on one's own machine, else ``shared.sessions``.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velatura.server.policy import VISITOR, Visitor

CONTENT_SECURITY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all, a form's Origin would be null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
STUDY = "/study/"  # raters follow their links from wherever these were sent to
SAFE = ("GET", "HEAD", "OPTIONS")
LOST = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Velatura</title>"
    "<h1>This page belongs to an earlier launch</h1>"
    "<p>Open the address that <code>velatura app</code> printed when it was started last."
)
TICKET_SECONDS = 60.0


class Sessions(Protocol):
    """Knows the visitors.

    ``origins``: this server's own. ``open``: paths that ask nothing of anyone, not even the right Host. ``links``:
    whether other sites may link to its pages. ``headers``: more of them, on every answer.
    """

    @property
    def origins(self) -> Collection[str]: ...
    @property
    def open(self) -> Collection[str]: ...
    @property
    def links(self) -> bool: ...
    @property
    def headers(self) -> dict[str, str]: ...

    async def visitor(self, scope: Scope, headers: Headers) -> Visitor | Response:
        """Who this is, or the answer that turns them away."""


@dataclass(frozen=True)
class Guard:
    """ASGI middleware. What it found stands in the scope, as ``policy.VISITOR``."""

    app: ASGIApp
    sessions: Sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # no websockets here

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (HEADERS | self.sessions.headers).items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = await self._refusal(scope, Headers(scope=scope))
        await (refusal or self.app)(scope, receive, with_headers)

    async def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["path"] in self.sessions.open:
            return None
        hosts = {origin.partition("://")[2] for origin in self.sessions.origins}
        if headers.get("host", "").lower() not in hosts:
            return turned_away(headers, 421, "host: expected this server's own name")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if self._foreign(scope, origin, site):
            return turned_away(headers, 403, "origin: expected this server's own pages")
        if scope["path"].startswith(("/static/", STUDY)):  # a rater's link is signed, and lets into one study alone
            return None
        found = await self.sessions.visitor(scope, headers)
        if isinstance(found, Response):
            return found
        # Browsers name the origin of whatever changes something; a form of another page could not name ours. Programs
        # that show a key are no browser, whose cookies another page could make use of.
        if found.by != "key" and scope["method"] not in SAFE and origin is None and site != "same-origin":
            return turned_away(headers, 403, "origin: expected one, got none")
        scope[VISITOR] = found
        return None

    def _foreign(self, scope: Scope, origin: str | None, site: str | None) -> bool:
        if origin is not None and origin.lower() not in self.sessions.origins:
            return True
        if site in (None, "same-origin", "none"):
            return False
        # A link from elsewhere, that is to be shown as a page of its own, changes nothing.
        link = (scope["method"] in SAFE, dict(scope["headers"]).get(b"sec-fetch-mode")) == (True, b"navigate")
        return not (link and (self.sessions.links or scope["path"].startswith(STUDY)))


class Ticket:
    """Lets in once, and for a minute: what a browser is started with every user of the machine can read."""

    def __init__(self) -> None:
        self.value = secrets.token_urlsafe(24)
        self.until = time.monotonic() + TICKET_SECONDS

    def take(self, value: str) -> bool:
        """Whether this is it; then it is used up."""
        good = _equal(value, self.value) and time.monotonic() < self.until
        if good:
            self.until = 0.0
        return good


@dataclass(frozen=True)
class LaunchSessions:
    """Those of one launch on the artist's own machine: whoever has its token.

    In a cookie, which the address that is opened at launch sets, or as ``Authorization: Bearer``. The ``ticket`` sets
    it too, once.
    """

    port: int
    token: str
    ticket: Ticket
    open: Collection[str] = ()
    links: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def origins(self) -> Collection[str]:
        return [f"http://{name}:{self.port}" for name in ("127.0.0.1", "localhost")]

    @property
    def cookie(self) -> str:
        """By port, since browsers share cookies between the ports of a host."""
        return f"velatura-{self.port}"

    async def visitor(self, scope: Scope, headers: Headers) -> Visitor | Response:
        if _equal(bearer(headers), self.token):
            return Visitor(by="key")
        if _equal(cookie(headers, self.cookie), self.token):
            return Visitor(by="cookie")
        return self._login(scope, headers)

    def _login(self, scope: Scope, headers: Headers) -> Response:
        """The address that is opened at launch: its token becomes a cookie, and leaves the address bar."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        shown = [value for name, value in query if name == "token"] if scope["method"] == "GET" else []
        if any(_equal(value, self.token) or self.ticket.take(value) for value in shown):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            answer = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
            return answer
        if wants_page(headers):
            return HTMLResponse(LOST, 401)
        return turned_away(headers, 401, "token: expected that of this launch; open the address that was printed last")


def _equal(value: str, secret: str) -> bool:
    return hmac.compare_digest(value.encode("utf-8", "replace"), secret.encode())


def bearer(headers: Headers) -> str:
    """The token or key of a program; empty where there is none. A proxy may ask for names and passwords of its own."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def cookie(headers: Headers, name: str) -> str:
    """The value of a cookie; empty where there is none. Other programs of this host may have set odd ones."""
    return cookie_parser(headers.get("cookie", "")).get(name, "")


def wants_page(headers: Headers) -> bool:
    """Whether someone is to look at the answer; what htmx fetches is a part of a page, and scripts read its errors."""
    return "text/html" in headers.get("accept", "") and "hx-request" not in headers


def turned_away(headers: Headers, status: int, detail: str, *, more: dict[str, str] | None = None) -> Response:
    """A line of text to someone who looks at it, else a problem as the API describes it. ``more``: headers of it."""
    if wants_page(headers):
        return PlainTextResponse(f"{detail}\n", status, more)
    return JSONResponse({"detail": detail}, status, more)
