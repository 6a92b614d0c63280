"""Calling back when a job is over, to where a user says: at least once, signed, and never into our own network.

Signed as https://www.standardwebhooks.com describes, so that its libraries can check it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import http.client
import ipaddress
import json
import logging
import socket
import ssl
import threading
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import anyio
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from velatura import __version__
from velatura.errors import InputError
from velatura.jobs import database
from velatura.jobs.records import UNFINISHED, Job
from velatura.jobs.store import Store
from velatura.server.schema import JobSummaryOut
from velatura.server.shared.tables import users, webhooks

LOOK_EVERY = 2.0  # seconds
PATIENCE = 10.0  # seconds, of each attempt
MOST_ATTEMPTS = 8  # the last about two hours after the first
FIRST_PAUSE = 60.0  # seconds; twice as long each time
MOST_CALLS = 20  # at a time
FORGET_AFTER = 86400.0  # seconds, where the job is gone
# Addresses that are public by themselves, and lead to others that may not be: NAT64, 6to4, Teredo.
TUNNELS = [ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]
log = logging.getLogger("velatura.webhooks")


class Refused(InputError):
    """An address that this server does not call."""


@dataclass(frozen=True)
class Caller:
    """``trusted``: hosts, as HOST or HOST:PORT, that may be called wherever they are, without encryption too."""

    engine: sa.Engine
    trusted: frozenset[str] = frozenset()

    def expect(self, job: str, user: str, url: str) -> None:
        """Note, before ``job`` is ordered, that ``url`` is to be called. Raises :class:`Refused`."""
        self.check(url)
        row = {"job": job, "user": user, "url": url, "created": time.time(), "attempts": 0, "next": 0.0}
        with self.engine.begin() as connection:
            connection.execute(webhooks.insert().values(**row))

    def forget(self, job: str) -> None:
        """It was not ordered after all."""
        with self.engine.begin() as connection:
            connection.execute(webhooks.delete().where(webhooks.c.job == job))

    def check(self, url: str) -> tuple[str, str, int, str, bool]:
        """Scheme, host, port, path with query, and whether it is trusted."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
        except ValueError:
            raise Refused("webhook: expected an address, https://HOST/PATH") from None
        trusted = bool(self.trusted & {host, f"{host}:{port}"})
        plain = url.isascii() and url.isprintable() and " " not in url
        if not host or not plain or parts.username is not None or parts.scheme not in ("https", "http"):
            raise Refused("webhook: expected an address, https://HOST/PATH, without a password in it")
        if not trusted and (parts.scheme, port) != ("https", 443):
            raise Refused("webhook: expected https:// and port 443; the administrator can allow others")
        if not trusted:
            try:
                numbers = ipaddress.ip_address(host)
            except ValueError:
                pass
            else:
                _check_public(str(numbers))
        return parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), trusted

    async def call(self) -> None:
        """Call whoever is to be called, as long as the server runs."""
        own = anyio.CapacityLimiter(MOST_CALLS)  # threads beside those that answer requests
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                due = await run_in_threadpool(self.due)
                # Side by side: one slow host holds up no other.
                await asyncio.gather(*(self._deliver_in_time(job, attempts, own) for job, attempts in due))
            except Exception:
                log.exception("webhooks")

    async def _deliver_in_time(self, job: str, attempts: int, own: anyio.CapacityLimiter) -> None:
        """Whatever a host, or a look-up of its name, does: the next round must begin. Counted as an attempt before."""
        with anyio.move_on_after(3 * PATIENCE):
            await anyio.to_thread.run_sync(self.deliver, job, attempts, abandon_on_cancel=True, limiter=own)

    def due(self, now: float | None = None) -> list[tuple[str, int]]:
        """Jobs that are over and whose call is due, with the attempts so far."""
        now = time.time() if now is None else now
        with self.engine.begin() as connection:
            gone = webhooks.c.job.not_in(sa.select(database.jobs.c.id)) & (webhooks.c.created < now - FORGET_AFTER)
            connection.execute(webhooks.delete().where(gone))
            open_ones = webhooks.c.delivered.is_(None) & (webhooks.c.next <= now)
            over = database.jobs.c.state.not_in(UNFINISHED) & (webhooks.c.attempts < MOST_ATTEMPTS)
            query = sa.select(webhooks.c.job, webhooks.c.attempts).join_from(
                webhooks, database.jobs, webhooks.c.job == database.jobs.c.id
            )
            query = query.where(open_ones & over).limit(MOST_CALLS)
            return [(row.job, row.attempts) for row in connection.execute(query)]

    def deliver(self, id: str, attempts: int) -> bool:
        """Call once; whether that was answered well."""
        pause = FIRST_PAUSE * 2**attempts
        seen = (webhooks.c.job == id) & (webhooks.c.attempts == attempts)
        with self.engine.begin() as connection:
            # Whoever counts the attempt makes it.
            later = webhooks.update().where(seen).values(attempts=attempts + 1, next=time.time() + pause)
            if not connection.execute(later).rowcount:
                return False
            query = sa.select(webhooks.c.url, users.c.webhook_secret).join_from(webhooks, users)
            row = connection.execute(query.where(webhooks.c.job == id)).one()
        job = Store(self.engine).job(id)
        if job is None:
            return False
        try:
            status = self._post(row.url, row.webhook_secret, job)
        except (OSError, ValueError, http.client.HTTPException, Refused) as error:
            log.warning("webhook of job %s: %s", id, type(error).__name__)
            return False
        log.info("webhook of job %s: status %s", id, status)
        if not 200 <= status < 300:
            return False
        with self.engine.begin() as connection:
            connection.execute(webhooks.update().where(webhooks.c.job == id).values(delivered=time.time()))
        return True

    def _post(self, url: str, secret: str, job: Job) -> int:
        scheme, host, port, path, trusted = self.check(url)
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not trusted:
            for address in addresses:
                _check_public(address)
        # To the very address that was checked: a second look-up could give another.
        connection = _To(addresses[0], host, port, encrypted=scheme == "https")
        body = json.dumps({"type": "job.finished", "data": JobSummaryOut.of(job).model_dump()}).encode()
        # A host that sends a byte now and then keeps within every time limit of the socket.
        end = threading.Timer(PATIENCE, connection.end)
        end.start()
        try:
            connection.request("POST", path, body, signed(body, f"job-{job.id}", secret, int(time.time())))
            return connection.getresponse().status  # a redirection is not followed, and the answer not read
        finally:
            end.cancel()
            connection.close()


class _To(http.client.HTTPConnection):
    """A connection to one address under the name of its host."""

    def __init__(self, address: str, host: str, port: int, *, encrypted: bool) -> None:
        super().__init__(host, port, timeout=PATIENCE)
        self.address, self.encrypted, self.ended = address, encrypted, False

    def end(self) -> None:
        """From another thread: whatever waits for the other side waits no longer, nor will it."""
        self.ended = True
        if self.sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # TLS's own would take its state away meanwhile

    def connect(self) -> None:
        self.sock: Any = socket.create_connection((self.address, self.port), PATIENCE)
        if self.encrypted:
            # The handshake comes after: while it lasts, ``end`` must find the socket that it is on.
            later: dict[str, Any] = {"server_hostname": self.host, "do_handshake_on_connect": False}
            self.sock = ssl.create_default_context().wrap_socket(self.sock, **later)
        if self.ended:
            raise TimeoutError("webhook: not answered in time")
        if self.encrypted:
            self.sock.do_handshake()


def signed(body: bytes, id: str, secret: str, at: int) -> dict[str, str]:
    """The headers of a call, with its signature."""
    key = b64decode(secret.removeprefix("whsec_"))
    signature = b64encode(hmac.new(key, f"{id}.{at}.".encode() + body, sha256).digest()).decode()
    marks = {"webhook-id": id, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}
    return marks | {"Content-Type": "application/json", "User-Agent": f"velatura/{__version__}"}


def _check_public(address: str) -> None:
    found = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(found, "ipv4_mapped", None) or found
    tunnel = any(inner in net for net in TUNNELS if net.version == inner.version)
    if not inner.is_global or inner.is_multicast or tunnel:
        raise Refused("webhook: expected a public address; the administrator can allow others")
