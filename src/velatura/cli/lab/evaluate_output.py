"""What ``velatura lab evaluate`` says: the plan and its cost, how far it is, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from velatura.evaluation import Setup
    from velatura.evaluation.cost import Task
    from velatura.reports.result import Result

MINUTE = 60.0  # seconds between two lines in a log


def announce(setups: Sequence[Setup], tasks: Sequence[Sequence[Task]]) -> dict[str, float]:
    """Print the plan and its cost before it starts; returns what a unit of each kind of work costs."""
    from velatura.evaluation import calibration, cost
    from velatura.evaluation.stages import KINDS

    rates = cost.known()
    missing = 0
    for mine in tasks:
        new = cost.unknown(mine, rates)
        missing += len(new)
        rates |= calibration.calibrate(new)
    for setup, mine in zip(setups, tasks, strict=True):
        p = setup.experiment
        ways = ", ".join(way.label for way in setup.ways)
        who = f"the mimic ({p.model}; {ways}) gets" if p.seeds else f"no mimic; the model ({p.model}) sees"
        click.echo(
            f"{p.artist}: {who} {len(setup.training)} pictures, the judge {len(setup.held_back)} others", err=True
        )
        seeds = f"; seeds: {len(p.seeds)}" if p.seeds else ""
        click.echo(f"arms: {', '.join(arm.key for arm in p.arms)}{seeds}", err=True)
        for kind in KINDS:
            same = [task for task in mine if task.what.startswith(kind)]
            if not same:
                continue
            there = sum(not task.left for task in same)
            kept = f", {there} of them there already" if there else ""
            click.echo(f"  {len(same)} times {kind}{kept}: {cost.duration(cost.seconds(same, rates))}", err=True)
    total = cost.duration(sum(cost.seconds(mine, rates) for mine in tasks))
    source = "a short trial just now" if missing else "earlier runs"
    click.echo(f"in all about {total} on this machine, by {source}", err=True)
    return rates


def teller(progress: Callable[[str, int, int], tuple[float, float]], bar: Any) -> Callable[[str, int, int], None]:
    """Progress over the whole plan: a bar for people, now and then a line for a log."""
    import time

    from velatura.evaluation.cost import duration

    current, said = "", 0.0

    def say(what: str, done: int, total: int) -> None:
        nonlocal current, said
        share, left = progress(what, done, total)
        where = f"{what}, {done} of {total}"
        if not bar.disable:
            bar.set_description_str(where, refresh=False)
            bar.set_postfix_str(f"{duration(left)} left", refresh=False)
            bar.update(100 * share - bar.n)
        elif what != current or time.monotonic() - said > MINUTE:
            click.echo(f"{100 * share:3.0f}%, {duration(left)} left: {where}", err=True)
            said = time.monotonic()
        current = what

    return say


def show(result: Result) -> None:
    """The table, and then in plain words what it says."""
    from velatura.reports import tables
    from velatura.reports.summary import summarise

    found = tables.cells(result.rows)
    for heading, members in tables.tables(found):
        click.echo(heading, err=True)
        for cell in members:
            for metric, title, _ in tables.shown(members):
                if metric in cell.figures:
                    value, small = tables.words(metric, cell.figures[metric])
                    click.echo(f"  {cell.label:28} {title:24} {value:>6}  ({small})", err=True)
    summary = summarise(result, yours=True)
    for flag in summary.flags:
        click.echo(f"flag: {flag}", err=True)
    click.echo(summary.paragraph)
