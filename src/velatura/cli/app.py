"""``velatura app``: the application in the browser, for this machine alone."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import webbrowser
from typing import Any

import click

from velatura.cli.options import DATABASE
from velatura.errors import InputError

PORT = 8377


@click.command("app", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", type=click.IntRange(0, 65535), help=f"Port to listen on: {PORT} if it is free, else any.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--keep-days", type=float, default=30.0, show_default=True, help="Delete pictures and results after this."
)
@DATABASE
def app_command(port: int | None, no_browser: bool, keep_days: float, database: str | None) -> None:
    """Open the application in the browser: drop pictures, preview, protect, compare, download.

    It listens on 127.0.0.1 alone, and only to the browser that opens the address printed here; nothing leaves this
    machine. Ctrl-C ends it; what was queued goes on at the next start.
    """
    # The package first: it says what is missing.
    from velatura.server.app import Launch, create_app  # isort: skip
    import uvicorn

    from velatura.jobs.queue import JobQueue
    from velatura.server.uploads import Limits

    if keep_days <= 0:
        raise InputError(f"keep-days: expected more than 0, got {keep_days:g}")
    listener = _listener(port)
    launch = Launch(listener.getsockname()[1], secrets.token_urlsafe(24), limits=Limits(days=keep_days))
    app = create_app(JobQueue(database), launch)
    click.echo(f"Velatura is at {launch.address}\nCtrl-C ends it.", err=True)
    if not no_browser:
        threading.Timer(0.5, webbrowser.open, [launch.opening]).start()
    # No access log: it would hold the token, and the names of pictures.
    quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
    config = uvicorn.Config(app, timeout_graceful_shutdown=2, **quiet)
    uvicorn.Server(config).run(sockets=[listener])


def _listener(port: int | None) -> Any:
    """A socket on 127.0.0.1, bound before the address is printed."""
    for attempt in [PORT, 0] if port is None else [port]:
        listener = socket.socket()
        if os.name != "nt":  # there it would let two servers have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", attempt))
        except OSError as error:
            listener.close()
            reason = error.strerror
            continue
        listener.listen(128)  # whoever opens the address before the server is ready waits, and is not refused
        return listener
    raise InputError(f"port {port}: cannot be listened on ({reason}); leave out --port, or name another")
