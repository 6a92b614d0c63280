"""Who comes to a shared server: a session's cookie, or an API key."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network, ip_address
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from velatura.server.guard import SAFE, bearer, cookie, turned_away, wants_page
from velatura.server.policy import Visitor
from velatura.server.shared.accounts import SESSION_DAYS, Accounts, User
from velatura.server.shared.quotas import Pace

LOGIN, JOIN, HEALTH = "/login", "/join", "/health"


@dataclass(frozen=True)
class SharedSessions:
    """``origins``: as browsers name this server, the public one first."""

    accounts: Accounts
    pace: Pace
    origins: Collection[str]
    open: Collection[str] = (HEALTH,)
    links: bool = True  # an invitation is a link in a mail

    @property
    def secure(self) -> bool:
        return next(iter(self.origins)).startswith("https://")

    @property
    def headers(self) -> dict[str, str]:
        return {"Strict-Transport-Security": "max-age=31536000"} if self.secure else {}

    @property
    def cookie(self) -> str:
        """``__Host-``: no other host, and no page without encryption, can set it."""
        return "__Host-velatura" if self.secure else "velatura-session"

    async def visitor(self, scope: Scope, headers: Headers) -> Visitor | Response:
        writing = scope["method"] not in SAFE
        if scope["path"] in (LOGIN, JOIN):
            allowed = self.pace.allows(self.pace.attempts if writing else self.pace.strangers, _address(scope))
            return Visitor(by="nothing") if allowed else too_often(headers)
        key, token = bearer(headers), cookie(headers, self.cookie)
        look, shown = (self.accounts.by_key, key) if key else (self.accounts.by_session, token)
        user: User | None = await run_in_threadpool(look, shown) if shown else None
        if user is None:
            if shown and not self.pace.allows(self.pace.strangers, _address(scope)):
                return too_often(headers)
            return self._turned_away(scope, headers)
        if not self.pace.allows(self.pace.writing if writing else self.pace.reading, user.id):
            return too_often(headers)
        return Visitor(user.id, user.name, user.admin, "key" if key else "cookie")

    def _turned_away(self, scope: Scope, headers: Headers) -> Response:
        if wants_page(headers) and scope["method"] == "GET":
            query = scope["query_string"].decode("latin-1")
            wanted = scope["path"] + (f"?{query}" if query else "")
            return RedirectResponse(f"{LOGIN}?{urlencode({'next': wanted})}", 303)
        return turned_away(headers, 401, "session: expected one, or an API key as bearer; log in again")

    def let_in(self, answer: Response, token: str) -> Response:
        """Set the cookie of a session."""
        answer.set_cookie(
            self.cookie, token, max_age=86400 * SESSION_DAYS, httponly=True, samesite="lax", secure=self.secure
        )
        return answer

    def let_out(self, answer: Response) -> Response:
        answer.delete_cookie(self.cookie, httponly=True, samesite="lax", secure=self.secure)
        answer.headers["Clear-Site-Data"] = '"cache"'  # small pictures of theirs
        return answer


def too_often(headers: Headers) -> Response:
    return turned_away(headers, 429, "rate: too many requests; wait a minute", more={"Retry-After": "60"})


def _address(scope: Scope) -> str:
    """For counting: of IPv6 the network, since whoever has one address of it has them all."""
    client = scope.get("client")
    host = str(client[0]) if client else "unknown"
    try:
        found = ip_address(host)
    except ValueError:
        return host
    if isinstance(found, IPv4Address) or found.ipv4_mapped:
        return host
    return str(IPv6Network((int(found) >> 64 << 64, 64)))
