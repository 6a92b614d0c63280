"""What the server says about itself: a line of JSON for each request, and metrics for Prometheus.

Routes stand in them as they are written (``/api/jobs/{id}``): no names of files, no addresses, nothing from a query.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velatura.jobs import database
from velatura.jobs.files import files
from velatura.server.policy import VISITOR, Visitor
from velatura.server.shared.tables import users

log = logging.getLogger("velatura.requests")
BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.3, 1, 3, 10, 60)  # seconds


class Metrics:
    """Counters of this process, and what the database says when it is asked."""

    def __init__(self, engine: sa.Engine) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("velatura_requests", "Requests that were answered", labels, registry=self.registry)
        until = "Until the answer begins"
        self.seconds = Histogram("velatura_request_seconds", until, ("route",), buckets=BUCKETS, registry=self.registry)
        self.registry.register(_Standing(engine))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Standing(Collector):
    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def collect(self) -> Iterable[Metric]:
        with self.engine.connect() as connection:
            for name, table in (("jobs", database.jobs), ("pictures", database.pictures)):
                rows = connection.execute(sa.select(table.c.state, sa.func.count()).group_by(table.c.state)).all()
                family = GaugeMetricFamily(f"velatura_{name}", f"{name.capitalize()} by state", labels=["state"])
                for state, count in rows:
                    family.add_metric([state], count)
                yield family
            size = sa.select(sa.func.coalesce(sa.func.sum(database.uploads.c.size), 0))
            yield GaugeMetricFamily("velatura_uploads_bytes", "Pictures kept", connection.execute(size).scalar_one())
            people = connection.execute(sa.select(sa.func.count()).select_from(users)).scalar_one()
            yield GaugeMetricFamily("velatura_users", "Users", people)
        yield GaugeMetricFamily("velatura_disk_free_bytes", "Disk left", shutil.disk_usage(files().root).free)


@dataclass(frozen=True)
class RequestLog:
    """ASGI middleware, the outermost: counts and logs each request."""

    app: ASGIApp
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, seen = time.perf_counter(), {"status": 500, "seconds": 0.0}

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.update(status=message["status"], seconds=time.perf_counter() - started)
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", None) or ("/static" if _static(scope) else "-")
            visitor: Visitor | None = scope.get(VISITOR)
            self.metrics.count(_method(scope), route, int(seen["status"]), seen["seconds"])
            facts = {"method": _method(scope), "route": route, "status": seen["status"]}
            facts |= {"ms": round(1000 * seen["seconds"], 1), "user": visitor.owner if visitor else None}
            log.info("request", extra={"facts": facts})


def _static(scope: Scope) -> bool:
    return str(scope["path"]).startswith("/static/")


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"


class JsonLines(logging.Formatter):
    """One JSON object a line. Of an exception its kind and where it was, not its words: they may hold a name."""

    def format(self, record: logging.LogRecord) -> str:
        tree: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
        }
        tree |= {"logger": record.name, "event": record.getMessage()} | getattr(record, "facts", {})
        if record.exc_info and record.exc_info[0]:
            tree |= {"error": record.exc_info[0].__name__, "where": list(_places(record.exc_info[2]))}
        return json.dumps(tree)


def _places(trace: object) -> Iterator[str]:
    for frame in traceback.extract_tb(trace):  # type: ignore[arg-type]
        yield f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"


def log_lines(level: int = logging.INFO) -> None:
    """All logs as lines of JSON on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("velatura").setLevel(level)
