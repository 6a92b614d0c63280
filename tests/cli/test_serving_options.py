"""``velatura app`` and ``velatura serve``: where they listen, and that every limit reaches the application."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("fastapi", reason="needs the extra web")
import uvicorn

from velatura.cli import root as entry
from velatura.cli.app import app_command
from velatura.cli.serve import serve_command
from velatura.errors import InputError

Seen = SimpleNamespace


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What the application is made with, and the sockets that the server is run on; nothing is served."""
    found = SimpleNamespace(made=None, config=None, places=[], opened=[])

    def run(server: Any, sockets: list[socket.socket]) -> None:
        found.config = server.config
        for listener in sockets:
            found.places.append(listener.getsockname())
            listener.close()

    def make(queue: Any, launch: Any) -> str:
        found.made = launch
        return "an application"

    accounts = SimpleNamespace(is_empty=lambda: False, invite=lambda admin: f"word-{admin}")
    monkeypatch.setenv("VELATURA_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr("webbrowser.open", found.opened.append)
    monkeypatch.setattr("velatura.server.app.create_app", make)
    with contextlib.suppress(ImportError):  # the extra serve; its tests are skipped
        monkeypatch.setattr("velatura.server.shared.create_app.create_shared_app", lambda *a: (make(*a), accounts))
        monkeypatch.setattr("velatura.server.shared.logging_metrics.log_lines", lambda: None)
    return found


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


def start(command: click.Command, *arguments: object) -> Result:
    done = CliRunner().invoke(command, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done


def refusal(command: click.Command, *arguments: object) -> str:
    done = CliRunner().invoke(command, [str(a) for a in arguments])
    if done.exit_code == 2:
        return done.output
    assert isinstance(done.exception, InputError), done.output
    return str(done.exception)


def test_the_application_is_for_this_machine_alone(seen: Seen, port: int) -> None:
    done = start(app_command, "--no-browser", "--port", port, "--keep-days", "2.5")
    assert seen.places == [("127.0.0.1", port)]
    assert (seen.made.port, seen.made.limits.days) == (port, 2.5)
    assert seen.made.address in done.stderr
    assert seen.config.access_log is False
    assert seen.opened == []


def test_the_application_takes_another_port_where_its_own_is_taken(
    seen: Seen, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("velatura.cli.app.PORT", port)
    with socket.create_server(("127.0.0.1", port)):
        start(app_command, "--no-browser")
        assert f"port {port}: cannot be listened on" in refusal(app_command, "--no-browser", "--port", port)
    ((host, other),) = seen.places
    assert (host, seen.made.port) == ("127.0.0.1", other)
    assert other != port
    start(app_command, "--no-browser")
    assert (seen.places[-1], seen.made.limits.days) == (("127.0.0.1", port), 30)


@pytest.mark.parametrize("days", ["0", "-1", "soon"])
def test_pictures_are_kept_for_some_time(seen: Seen, days: str) -> None:
    assert "keep-days" in refusal(app_command, "--no-browser", "--port", "0", "--keep-days", days)
    assert seen.made is None


def test_every_limit_of_a_shared_server_reaches_it(seen: Seen, port: int) -> None:
    pytest.importorskip("limits", reason="needs the extra serve")
    limits = ("--keep-hours", "6", "--most-mb", "1.5", "--most-megapixels", "3", "--quota-pictures", "4")
    more = ("--quota-mb", "7", "--webhook-host", "intern:8000", "--webhook-host", "other", "--no-worker")
    done = start(serve_command, "--port", port, *limits, *more, "--invite-admin")
    assert seen.places == [("127.0.0.1", port)]
    made = seen.made
    assert (made.limits.days, made.limits.bytes, made.limits.pixels) == (0.25, 1_500_000, 3_000_000)
    assert (made.limits.pictures, made.quota.pictures, made.quota.bytes) == (4, 4, 7_000_000)
    assert (made.trusted, made.worker) == ({"intern:8000", "other"}, False)
    assert list(made.origins) == [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
    assert f"http://127.0.0.1:{port}/join?invitation=word-True" in done.stderr
    assert (seen.config.access_log, seen.config.proxy_headers) == (False, True)


def test_a_shared_server_s_defaults_and_its_name(seen: Seen, port: int) -> None:
    pytest.importorskip("limits", reason="needs the extra serve")
    done = start(serve_command, "--port", port, "--origin", "https://studio.example")
    made = seen.made
    assert (made.limits.days, made.limits.bytes, made.quota.pictures) == (1, 100_000_000, 200)
    assert (made.origins, made.trusted, made.worker) == (["https://studio.example"], frozenset(), True)
    assert "invitation" not in done.stderr
    assert "expected with --host 0.0.0.0" in refusal(serve_command, "--port", port, "--host", "0.0.0.0")
    assert "expected https://" in refusal(serve_command, "--port", port, "--origin", "http://studio.example")
    with socket.create_server(("127.0.0.1", port)):
        assert f"127.0.0.1:{port}: cannot be listened on" in refusal(serve_command, "--port", port)
    for option in ("--keep-hours", "--most-mb", "--most-megapixels", "--quota-pictures", "--quota-mb"):
        assert option in refusal(serve_command, "--port", port, option, "0")
    assert len(seen.places) == 1


def test_every_option_is_known_here() -> None:
    """A new one wants a test that it arrives."""
    known = {"app": {"port", "no_browser", "keep_days", "database"}, "serve": {
        *("host", "port", "origin", "keep_hours", "most_mb", "most_megapixels", "quota_pictures", "quota_mb"),
        *("trusted", "invite_admin", "no_worker", "database"),
    }}  # fmt: skip
    for name, options in known.items():
        command = entry.get_command(click.Context(entry), name)
        assert command is not None
        assert {parameter.name for parameter in command.params} == options
