"""``velatura jobs``: how the work in the background stands. torch is not imported."""

from __future__ import annotations

import json
import os
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from velatura.cli.options import DATABASE
from velatura.errors import InputError

if TYPE_CHECKING:
    from velatura.jobs.queue import JobQueue
    from velatura.jobs.records import Job

AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group("jobs", context_settings={"help_option_names": ["-h", "--help"]})
def jobs_group() -> None:
    """List, show, cancel and resume what runs in the background.

    A JOB is named by its id or the beginning of it.
    """


@jobs_group.command("list")
@DATABASE
@AS_JSON
def list_command(database: str | None, as_json: bool) -> None:
    """All jobs, newest first: state, pictures (of an experiment: parts) done, failed, time left, folder."""
    store = _queue(database).store
    kinds = [store.jobs(kind=kind, most=100_000) for kind in ("protect", "evaluate")]
    jobs = sorted(chain(*kinds), key=lambda job: -job.created)
    if as_json:
        click.echo(json.dumps([_tree(job) for job in jobs], indent=1))
        return
    if not jobs:
        click.echo("no jobs; see: velatura protect --background, velatura watch", err=True)
    for job in jobs:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created))
        click.echo(f"{job.id[:8]}  {when}  {job.state:9}  {_counts(job)}  {_folder(job)}")


@jobs_group.command("show")
@click.argument("job")
@DATABASE
@AS_JSON
def show_command(job: str, database: str | None, as_json: bool) -> None:
    """One JOB with all its pictures."""
    found = _queue(database).store.find(job)
    if as_json:
        click.echo(json.dumps(_tree(found), indent=1))
        return
    click.echo(f"{found.id}  {found.state}  {_counts(found)}  {_folder(found)}")
    if found.reason:
        click.echo(f"error: {found.reason}")
    if found.choice:
        click.echo(f"target style: {found.choice['style']['name']}, {found.choice['reason']}")
    for picture in found.pictures:
        verdict = picture.summary.get("verdict", {}).get("sentence", "")
        steps = f"step {picture.step} of {picture.steps}" if picture.state == "working" and picture.steps else ""
        click.echo(f"  {picture.state:8} {picture.name}  {picture.error or verdict or steps}".rstrip())


@jobs_group.command("cancel")
@click.argument("job")
@DATABASE
def cancel_command(job: str, database: str | None) -> None:
    """Stop a JOB at its next step; pictures that are done stay."""
    queue = _queue(database)
    found = queue.store.find(job)
    if not queue.cancel(found.id):
        raise InputError(f"job {found.id[:8]}: is {found.state}; only what is waiting or working can be cancelled")
    click.echo(f"cancelled; velatura jobs resume {found.id[:8]} takes it up again", err=True)


@jobs_group.command("resume")
@click.argument("job")
@DATABASE
def resume_command(job: str, database: str | None) -> None:
    """Take up a cancelled JOB again, or the failed pictures of one that is over; start a worker if none is there."""
    queue = _queue(database)
    found = queue.store.find(job)
    # A job that is waiting may have lost its worker, when the machine was switched off, say.
    if not found.unfinished and not queue.resume(found.id):
        raise InputError(f"job {found.id[:8]}: all its pictures are done; nothing is left to resume")
    queue.call_worker()
    click.echo(f"queued; velatura jobs show {found.id[:8]} tells how it stands", err=True)


def _queue(url: str | None) -> JobQueue:
    from velatura.jobs.queue import JobQueue

    return JobQueue(url)


def _counts(job: Job) -> str:
    failed = f", {job.count('failed')} failed" if job.count("failed") else ""
    left = job.seconds_left
    time_left = f", about {max(1, round(left / 60))} min left" if job.unfinished and left is not None else ""
    return f"{job.count('done')} of {len(job.pictures)} done{failed}{time_left}"


def _folder(job: Job) -> str:
    return str(job.order.get("folder", "from the application"))


def _tree(job: Job) -> dict[str, Any]:
    pictures = []
    for p in job.pictures:
        row = {name: getattr(p, name) for name in ("name", "state", "step", "steps", "attempts", "error")}
        output = os.fsencode(p.output).decode("utf-8", "backslashreplace")
        pictures.append(row | {"seconds": round(p.seconds, 1), "output": output, **p.summary})
    known = {name: getattr(job, name) for name in ("id", "state", "run", "created", "finished", "seconds_left")}
    return known | {"reason": job.reason or None, "style": job.choice.get("style"), "pictures": pictures}
