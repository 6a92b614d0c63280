"""Who may ask: any page in the browser can send requests to localhost, so being asked locally proves nothing.

A request must name this server as its Host (a foreign name that resolves to 127.0.0.1 does not), must not come from
another origin, and must carry the token of this launch: in a cookie, which the address that is opened at launch sets,
or as ``Authorization: Bearer``.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
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
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
STUDY = "/study/"
SAFE = ("GET", "HEAD", "OPTIONS")
LOST = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Velatura</title>"
    "<h1>This page belongs to an earlier launch</h1>"
    "<p>Open the address that <code>velatura app</code> printed when it was started last."
)


@dataclass(frozen=True)
class Guard:
    """ASGI middleware; ``port``: of this server; ``token``: of this launch."""

    app: ASGIApp
    port: int
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # no websockets here

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        await (refusal or self.app)(scope, receive, with_headers)

    @property
    def cookie(self) -> str:
        """By port, since browsers share cookies between the ports of a host."""
        return f"velatura-{self.port}"

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        hosts = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")}
        if headers.get("host", "").lower() not in hosts:
            return PlainTextResponse("host: expected this server's own name\n", 421)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        foreign = origin is not None and origin.lower() not in {f"http://{host}" for host in hosts}
        # A rater's link is followed from wherever it was sent to.
        study = scope["path"].startswith(STUDY)
        followed = study and scope["method"] in SAFE and headers.get("sec-fetch-mode") == "navigate"
        if foreign or (site not in (None, "same-origin", "none") and not followed):
            return PlainTextResponse("origin: expected this server's own pages\n", 403)
        if study or scope["path"].startswith("/static/"):  # such a link is signed, and lets into one study alone
            return None
        if self._is_token(headers.get("authorization", "").removeprefix("Bearer ")):
            return None
        if self._is_token(_cookie(headers.get("cookie", ""), self.cookie)):
            # Browsers name the origin of whatever changes something; a form of another page could not name ours.
            if scope["method"] not in SAFE and origin is None and site != "same-origin":
                return PlainTextResponse("origin: expected one, got none\n", 403)
            return None
        return self._entrance(scope, headers)

    def _entrance(self, scope: Scope, headers: Headers) -> Response:
        """The address that is opened at launch: its token becomes a cookie, and leaves the address bar."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        if scope["method"] == "GET" and any(name == "token" and self._is_token(value) for name, value in query):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            answer = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
            return answer
        if "text/html" in headers.get("accept", ""):
            return HTMLResponse(LOST, 401)
        return PlainTextResponse("token: expected that of this launch\n", 401)

    def _is_token(self, value: str) -> bool:
        return hmac.compare_digest(value.encode("utf-8", "replace"), self.token.encode())


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
