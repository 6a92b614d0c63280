"""Where jobs are kept: a SQLite file in the user's data folder, or a PostgreSQL named by a URL."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
import sqlalchemy as sa
from dbos import DBOS

from velatura.errors import InputError

T = TypeVar("T")
# Seconds for which a worker waits for the database: longer than ``heartbeat.DEAD_SECONDS``, when others take over.
PATIENCE = 90.0

# Paths are bytes: a name need not be UTF-8.
metadata = sa.MetaData()
jobs = sa.Table(
    "velatura_jobs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("owner", sa.String(36), index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("order", sa.JSON, nullable=False),
    sa.Column("choice", sa.JSON, nullable=False),
    sa.Column("idempotency_key", sa.String(128), unique=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("finished", sa.Float),
    sa.Column("expires", sa.Float, nullable=False),  # 0: deleted, but for files that could not be yet
    sa.Column("turn", sa.Integer),  # ``queue.line_up``
    sa.Column("keep", sa.Float),  # seconds, from when it is over
)
pictures = sa.Table(
    "velatura_pictures",
    metadata,
    sa.Column("job", sa.ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("source", sa.LargeBinary, nullable=False),
    sa.Column("output", sa.LargeBinary, nullable=False),
    sa.Column("title", sa.LargeBinary, nullable=False),
    sa.Column("stamp", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("steps", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("summary", sa.JSON, nullable=False),
)
uploads = sa.Table(
    "velatura_uploads",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("owner", sa.String(36), index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("path", sa.LargeBinary, nullable=False),
    sa.Column("format", sa.String(8), nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),  # 0: as above
)
# One row a worker that lives; ``seen`` by the database's clock, since machines' clocks differ.
workers = sa.Table(
    "velatura_workers",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)
# One row a time that a picture's files were written, in the transaction that admitted it.
deliveries = sa.Table(
    "velatura_deliveries",
    metadata,
    sa.Column("job", sa.ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("run", sa.Integer, primary_key=True),
    sa.Column("worker", sa.String(64), nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)
# Jobs that are gone, for a while: whoever was at work on one may have written a file since.
deleted = sa.Table(
    "velatura_deleted",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
)
# What the first to come decided for all.
agreements = sa.Table(
    "velatura_agreements",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


def home() -> Path:
    """The folder of uploads, results of the application and the default database; made if it is missing."""
    root = os.environ.get("VELATURA_DATA") or platformdirs.user_data_dir("velatura", appauthor=False)
    path = Path(root)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot make this folder ({error.strerror}); set VELATURA_DATA to another") from None
    return path


def default_url() -> str:
    return f"sqlite:///{home() / 'jobs.sqlite'}"


def now(engine: sa.Engine) -> sa.ColumnElement[float]:
    """Seconds since 1970 by the database's clock."""
    if engine.dialect.name == "sqlite":
        return (sa.func.julianday("now") - 2440587.5) * 86400.0
    return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float)


def patiently(call: Callable[[], T], seconds: float = PATIENCE) -> T:
    """What ``call`` gives, again and again where the database is away for a moment. It must be harmless to repeat."""
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except sa.exc.OperationalError:
            if time.monotonic() >= end:
                raise
            time.sleep(min(1.0, seconds))


def lock_file(url: str) -> Path:
    """The lock of this machine's one worker of a database."""
    return home() / f"worker-{sha256(url.encode()).hexdigest()[:12]}.lock"


def connect(url: str) -> sa.Engine:
    """An engine for the database of ``url``, whose tables exist. Raises :class:`InputError` where that cannot be."""
    logging.getLogger("dbos").setLevel(logging.ERROR)
    if not url.startswith(("sqlite:///", "postgresql://")):
        raise InputError(f"database: expected sqlite:///FILE or postgresql://HOST/NAME, got {_without_password(url)}")
    try:
        DBOS.migrate(url)
        engine = _engine(url)
        metadata.create_all(engine)
        _add_columns(engine)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()
        raise InputError(
            f"database {_without_password(url)}: cannot be used ({reason[0] if reason else type(error).__name__}); "
            "check the URL and that it is running"
        ) from None
    return engine


def _add_columns(engine: sa.Engine) -> None:
    """Columns that tables of an earlier version lack; each may be null."""
    kept = sa.inspect(engine)
    for table in metadata.sorted_tables:
        there = {column["name"] for column in kept.get_columns(table.name)}
        for column in [column for column in table.columns if column.name not in there]:
            with engine.begin() as connection:
                kind = column.type.compile(engine.dialect)
                connection.execute(sa.text(f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {kind}'))
                for index in [index for index in table.indexes if column.name in index.columns]:
                    index.create(connection, checkfirst=True)


def _engine(url: str) -> sa.Engine:
    if url.startswith("postgresql://"):
        # A machine that freezes in the middle of a delivery must not hold its picture for ever.
        own = {"options": "-c idle_in_transaction_session_timeout=120000"}
        address = url.replace("postgresql://", "postgresql+psycopg://", 1)
        return sa.create_engine(address, pool_pre_ping=True, connect_args=own)
    engine = sa.create_engine(url)

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        connection.isolation_level = "IMMEDIATE"  # writers queue, as DBOS has it
        # WAL: a page that shows progress never waits for the worker, nor the other way round.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        if sqlite3.sqlite_version_info < (3, 42):
            # DBOS's tables say unixepoch('subsec') from Python 3.12 on, to which older ones (Debian 12) answer null.
            connection.create_function("unixepoch", 1, lambda _: time.time())

    return engine


def _without_password(url: str) -> str:
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return repr(url.partition("@")[2] or url)
