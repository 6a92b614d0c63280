"""``velatura watch``: a folder whose pictures are protected as they appear."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from velatura.cli.files import of_other_kinds, tasks
from velatura.cli.groups import GroupedCommand
from velatura.cli.options import DATABASE, SETTINGS, settings_from
from velatura.errors import Cancelled
from velatura.reports.places import Task

LOOK_EVERY = 2.0  # seconds


@click.command("watch", cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the protected pictures and their reports.",
)
@SETTINGS
@click.option(
    "--settle",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Seconds for which a file must not have changed: one that is still being copied is left alone.",
)
@click.option("--once", is_flag=True, help="Protect what is there, wait until it is done, and stop.")
@DATABASE
def watch_command(folder: Path, output: Path, settle: float, once: bool, database: str | None, **options: Any) -> None:
    """Protect the pictures in FOLDER, and those that appear there later, until Ctrl-C.

    The work is done in the background (velatura jobs); what was protected before with the same options is not done
    again, what changes is; what failed is tried again at the next start.
    """
    from velatura.cli.background import Background

    background = Background(database, settings_from(options), output, {"keep_target": False, "force": False})
    watch = Watch(background, folder, output, settle)
    click.echo(f"watching {folder}; Ctrl-C stops", err=True)
    try:
        while not watch.look() or not once:
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        raise Cancelled("stopped watching; what is queued already goes on (velatura jobs list)") from None
    raise click.exceptions.Exit(1 if watch.failed else 0)


class Watch:
    """What was seen in the folder at the last look, and the jobs that came of it."""

    def __init__(self, background: Any, folder: Path, output: Path, settle: float) -> None:
        self.background, self.folder, self.output, self.settle = background, folder, output, settle
        self.seen: dict[Path, tuple[str, float]] = {}  # stamp, and since when it has been so
        self.asked: set[tuple[Path, str]] = set()  # a broken picture would be queued at every look
        self.left_out: set[Path] = set()
        self.told: dict[str, set[int]] = {}  # by job, the pictures whose end was told
        self.failed = 0

    def look(self) -> bool:
        """Queue what is complete and new, tell what is done; whether nothing is left to do or to wait for."""
        ready, unsettled = self._ready()
        if ready:
            job = self.background.submit(ready)
            self.asked.update((picture.source, picture.stamp) for picture in job.pictures)
            self.told[job.id] = set()
            click.echo(f"queued {len(ready)} pictures (job {job.id[:8]})", err=True)
        self._tell()
        return not unsettled and not self.told

    def _ready(self) -> tuple[list[Task], bool]:
        from velatura.cli.background import stamp

        wanted = _settings(self.background.order)
        known = self.background.queue.store.stamps(self.output.resolve(), lambda order: _settings(order) == wanted)
        known |= self.asked
        ready, unsettled, now = [], False, time.monotonic()
        asked = self.background.settings
        found, left_out = tasks([self.folder], self.output, format=asked.delivery.format, page=asked.page)
        if fresh := [path for path in left_out if path not in self.left_out]:
            click.echo(of_other_kinds(fresh), err=True)
            self.left_out.update(fresh)
        for task in found:
            mark = stamp(task.source)
            if (task.source.resolve(), mark) in known:
                continue
            before, since = self.seen.get(task.source, ("", now))
            if before != mark:
                since = now
            self.seen[task.source] = (mark, since)
            if mark and now - since >= self.settle:
                ready.append(task)
            else:
                unsettled = True
        return ready, unsettled

    def _tell(self) -> None:
        for id, told in list(self.told.items()):
            job = self.background.queue.store.job(id)
            for picture in job.pictures if job else ():
                if picture.number in told or picture.state not in ("done", "failed"):
                    continue
                told.add(picture.number)
                self.failed += picture.state == "failed"
                words = picture.error or picture.summary["verdict"]["sentence"]
                click.echo(f"{picture.name}: {words}", file=sys.stderr if picture.error else sys.stdout)
            if job is None or not job.unfinished:
                if job is not None and job.reason:
                    self.failed += 1
                    click.echo(f"error: {job.reason}", err=True)
                del self.told[id]
        if self.told:
            self.background.queue.ensure_worker()


def _settings(order: dict[str, Any]) -> Any:
    """Of an order, what changes its pictures, as it comes back from the database."""
    kept = {name: value for name, value in order.get("settings", {}).items() if name not in ("device", "offline")}
    return json.loads(json.dumps(kept))
