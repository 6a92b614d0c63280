"""``velatura serve``: the application for many users, by invitation."""

from __future__ import annotations

import socket
from typing import Any

import click

from velatura.cli.options import DATABASE
from velatura.errors import InputError

PORT = 8378
POSITIVE = click.FloatRange(0, min_open=True)


@click.command("serve", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Where it listens.")
@click.option("--origin", help="How browsers name it: https://studio.example; by default this machine alone.")
@click.option("--keep-hours", type=POSITIVE, default=24.0, show_default=True, help="Delete pictures after this.")
@click.option("--most-mb", type=POSITIVE, default=100.0, show_default=True, help="Most megabytes of a picture.")
@click.option("--most-megapixels", type=POSITIVE, default=100.0, show_default=True, help="Most pixels of a picture.")
@click.option("--quota-pictures", type=click.IntRange(1), default=200, show_default=True, help="A user's, a day.")
@click.option("--quota-mb", type=POSITIVE, default=2000.0, show_default=True, help="A user's, kept at a time.")
@click.option(
    "--webhook-host",
    "trusted",
    multiple=True,
    metavar="HOST[:PORT]",
    help="May be called back although it is not public, or without encryption; repeat it for several.",
)
@click.option("--invite-admin", is_flag=True, help="Print an invitation for another administrator.")
@click.option("--no-worker", is_flag=True, help="Protect nothing on this machine; others do (velatura worker).")
@DATABASE
def serve_command(
    host: str,
    port: int,
    origin: str | None,
    keep_hours: float,
    most_mb: float,
    most_megapixels: float,
    quota_pictures: int,
    quota_mb: float,
    trusted: tuple[str, ...],
    invite_admin: bool,
    no_worker: bool,
    database: str | None,
) -> None:
    """Serve the application to those who are invited: a studio, a school, a platform.

    The first start prints an invitation for an administrator. Put a reverse proxy with TLS in front of it
    (docs/deploy.md); logs are lines of JSON on standard error.
    """
    # The package first: it says what is missing.
    from velatura.server.shared.create_app import ServerOptions, create_shared_app  # isort: skip
    import uvicorn

    from velatura.jobs.queue import JobQueue
    from velatura.server.shared.logging_metrics import log_lines
    from velatura.server.shared.quotas import Quota
    from velatura.server.uploads import Limits

    if origin is None and host not in ("127.0.0.1", "localhost"):
        raise InputError(f"origin: expected with --host {host}; how do browsers name this server?")
    local = [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
    limits = Limits(int(1e6 * most_mb), int(1e6 * most_megapixels), quota_pictures, keep_hours / 24)
    options = ServerOptions(
        origins=local if origin is None else [origin],
        limits=limits,
        quota=Quota(pictures=quota_pictures, bytes=int(1e6 * quota_mb)),
        trusted=frozenset(trusted),
        worker=not no_worker,
    )
    listener = _listener(host, port)  # whoever opens the address as soon as it is printed waits, and is not refused
    log_lines()
    app, accounts = create_shared_app(JobQueue(database), options)
    if invite_admin or accounts.is_empty():
        link = f"{options.origins[0]}/join?invitation={accounts.invite(admin=True)}"
        click.echo(f"An invitation for an administrator, for seven days: {link}", err=True)
    click.echo(f"Velatura serves {options.origins[0]}\nCtrl-C ends it.", err=True)
    # No access log: it would hold the names of pictures. The address of whoever asks is the proxy's to tell, if it is
    # on this machine, or is named in FORWARDED_ALLOW_IPS.
    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "proxy_headers": True}
    # Longer than a proxy keeps its side, or it would now and then ask on a connection that is just being closed.
    config = uvicorn.Config(app, timeout_graceful_shutdown=5, timeout_keep_alive=75, **quiet)
    uvicorn.Server(config).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise InputError(f"{host}:{port}: cannot be listened on ({error.strerror}); name another") from None
