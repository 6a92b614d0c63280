"""``velatura worker``: a process that takes jobs from a database that several machines share."""

from __future__ import annotations

import os

import click

from velatura.cli.options import DATABASE
from velatura.errors import InputError


@click.command("worker", context_settings={"help_option_names": ["-h", "--help"]})
@DATABASE
@click.option(
    "--files",
    envvar="VELATURA_FILES",
    help="Where all machines find the files: a folder that they share (mounted wherever), or a URL that fsspec knows "
    "(s3://BUCKET/PATH); by default the user's data folder.",
)
@click.option("--idle", type=click.FloatRange(min=0), help="End after so many seconds without jobs; else never.")
@click.option("--list", "list_only", is_flag=True, help="List the workers of the database, and end.")
def worker_command(database: str | None, files: str | None, idle: float | None, list_only: bool) -> None:
    """Take jobs from the database and carry them out, until Ctrl-C.

    With a PostgreSQL there may be many workers, on many machines. One that dies is taken over by the others after a
    minute; what it was at is done again by another, and nothing is delivered twice. One worker a device is right.
    """
    from velatura.jobs import database as databases
    from velatura.jobs.heartbeat import living
    from velatura.jobs.worker import WorkerOptions, work

    url = database or databases.default_url()
    if files is not None:
        os.environ["VELATURA_FILES"] = files  # for what this process starts, too
    if list_only:
        found = living(databases.connect(url))
        for name, ago in found:
            click.echo(f"{name}  seen {ago:.0f} s ago")
        if not found:
            click.echo("no worker; start one: velatura worker --database postgresql://HOST/NAME", err=True)
        return
    click.echo("at work; Ctrl-C stops, and others go on where this one was", err=True)
    if not work(url, options=WorkerOptions(idle=idle, alone=False)):
        raise InputError("database: a SQLite file takes one worker, and another is at work; use a PostgreSQL for more")
