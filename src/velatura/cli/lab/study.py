"""``velatura lab study``: people rate mimicked pictures, and PSR is made of what they say."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velatura.cli.files import new_or_ours, pictures
from velatura.cli.options import DATABASE
from velatura.errors import InputError

if TYPE_CHECKING:
    from velatura.reports.result import Result
    from velatura.study.answers import Studies, Study
    from velatura.study.statistics import Rating

ADDRESS = click.option(
    "--address",
    default="http://127.0.0.1:8377",
    show_default=True,
    help="Where the application answers for the raters: that of velatura app, or of your server.",
)


@click.group("study", context_settings={"help_option_names": ["-h", "--help"]})
def study_group() -> None:
    """The artists' study: people see real works and mimicked ones, and say how successful the mimicry is.

    A STUDY is named by the id that `velatura lab study new` prints.
    """


@study_group.command("new")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--title", default="A study of style", show_default=True, help="What raters read on top.")
@click.option("--raters", default=12, show_default=True, type=click.IntRange(1, 10_000), help="Links to make.")
@click.option("--together", default=4, show_default=True, type=click.IntRange(1, 12), help="Pictures a row.")
@click.option("--sets", default=5, show_default=True, type=click.IntRange(1), help="Questions an arm and artist.")
@click.option("--questions", type=click.IntRange(1), help="Questions a rater, besides the checks; else all.")
@click.option("--seed", default=0, show_default=True, help="Of every random choice.")
@click.option("--synthetic", is_flag=True, help="To try it out: every result will say that no person answered.")
@ADDRESS
@DATABASE
def new_command(
    folders: tuple[Path, ...],
    title: str,
    raters: int,
    questions: int | None,
    address: str,
    database: str | None,
    **design: Any,
) -> None:
    """Make a blinded study of FOLDERS, one an artist, and print a link a rater.

    A FOLDER is an output folder of `velatura lab evaluate`, or holds `original` (real works) beside a folder an arm of
    mimicked pictures, such as clean, noise and cloaked.
    """
    from velatura.study.design import Design, body, plan

    studies = _studies(database)
    bodies = [body(folder, lambda path: pictures([path])) for folder in folders]
    id, planned = plan(bodies, Design(each=questions, **design), studies.place)
    study = studies.add(title, planned, raters, id)
    asked = study.asked(1)
    checks = sum(question.kind != "mimicry" for question in asked)
    click.echo(f"study {id}: {len(asked)} questions a rater, {checks} of them attention checks", err=True)
    for number in range(1, raters + 1):
        click.echo(_address(study, number, address))


@study_group.command("list")
@DATABASE
def list_command(database: str | None) -> None:
    """All studies: id, answers, raters who have begun, title."""
    studies = _studies(database)
    for study in studies.all():
        people = studies.people(study)
        begun = sum(person.begun is not None for person in people)
        count = sum(1 for _ in studies.answers(study))
        mark = "  synthetic" if study.synthetic else ""
        click.echo(f"{study.id}  {count} answers, {begun} of {len(people)} raters  {study.title}{mark}")


@study_group.command("links")
@click.argument("study")
@click.option("--more", default=0, type=click.IntRange(0, 10_000), help="Make so many more first.")
@ADDRESS
@DATABASE
def links_command(study: str, more: int, address: str, database: str | None) -> None:
    """The links of a STUDY and how far each rater is."""
    studies = _studies(database)
    found = studies.find(study)
    if more:
        studies.invite(found, more)
    for person in studies.people(found):
        _, done, of = studies.next(found, person.number)
        click.echo(f"{_address(found, person.number, address)}  {done} of {of}")


@study_group.command("results")
@click.argument("study")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A result file (JSON).")
@click.option("--csv", "table", type=click.Path(path_type=Path, dir_okay=False), help="Every answer, as CSV.")
@click.option("--artists-only", is_flag=True, help="Count those alone who said that they make art.")
@DATABASE
def results_command(
    study: str, output: Path | None, table: Path | None, artists_only: bool, database: str | None
) -> None:
    """PSR by arm with 95 % intervals, how far raters agree, and who was left out and why.

    PSR is the share of answers "not successful at all" or "not very successful".
    """
    for path, mark in ((table, b"study,synthetic,"), (output, b'"experiment"')):
        if path is not None:
            new_or_ours(path, mark)
    studies = _studies(database)
    found = studies.find(study)
    answers = _answers(studies, found, artists_only)
    if table is not None:
        table.write_text(_csv(answers), encoding="utf-8")
    if not answers:
        raise InputError(f"study {study}: expected answers, got none so far; velatura lab study links {study} tells")
    result = _result(found, [rating for _, rating in answers], artists_only)
    for row in result.rows:
        interval = "" if row.low is None or row.high is None else f"  ({_figure(row.low)} to {_figure(row.high)})"
        who = f"{row.artist}: " if row.artist else ""
        click.echo(f"{who}{row.arm:24} {row.metric:20} {_figure(row.value):>6}{interval}  n = {row.n}")
    alpha = result.settings["krippendorff_alpha"]
    said = "not defined" if alpha is None else f"{alpha:.2f}"
    click.echo(f"{result.settings['raters']} raters count; Krippendorff's alpha (ordinal): {said}")
    for rater, reason in result.settings["excluded"].items():
        click.echo(f"left out: rater {rater}, {reason}")
    for flag in result.flags:
        click.echo(f"flag: {flag}")
    if output is not None:
        result.save(output)


@study_group.command("delete")
@click.argument("study")
@click.confirmation_option(prompt="Delete the study with all its answers?")
@DATABASE
def delete_command(study: str, database: str | None) -> None:
    """Delete a STUDY with its pictures and all answers."""
    studies = _studies(database)
    studies.delete(studies.find(study))


def _studies(url: str | None) -> Studies:
    from velatura.jobs import database
    from velatura.jobs.files import files
    from velatura.study.answers import Studies

    return Studies(database.connect(url or database.default_url()), files())


def _address(study: Study, number: int, address: str) -> str:
    return f"{address.rstrip('/')}/study/{study.link(number)}"


def _answers(studies: Studies, study: Study, artists_only: bool) -> list[tuple[dict[str, Any], Rating]]:
    """Each answer as a row of the table, and as what the statistics take."""
    from velatura.study.statistics import LEVELS, Rating

    found = []
    for rater, q, answer in studies.answers(study):
        if artists_only and rater.background == "other":
            continue
        rating = Rating(str(rater.number), q.id, q.artist, q.arm, answer.level, answer.seconds, q.expected)
        row: dict[str, Any] = {"study": study.id, "synthetic": study.synthetic}
        row |= {"rater": rater.number, "background": rater.background}
        row |= {"question": q.id, "kind": q.kind, "artist": q.artist, "arm": q.arm}
        row |= {"level": answer.level, "words": LEVELS[answer.level - 1], "seconds": round(answer.seconds, 2)}
        row["passed"] = "" if not q.expected else not rating.failed
        found.append((row, rating))
    return found


def _csv(answers: list[tuple[dict[str, Any], Rating]]) -> str:
    names = (
        *("study", "synthetic", "rater", "background", "question", "kind", "artist", "arm", "level", "words"),
        *("seconds", "passed"),
    )
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for row, _ in answers)
    return out.getvalue()


def _result(study: Study, ratings: list[Rating], artists_only: bool) -> Result:
    from velatura import __version__
    from velatura.reports.result import Result
    from velatura.study import statistics

    rules = statistics.Rules()
    asked = {rating.rater: len(study.asked(int(rating.rater))) for rating in ratings}
    found = statistics.evaluate(ratings, asked, rules)
    settings = {
        "study": study.id,
        "title": study.title,
        "synthetic": study.synthetic,
        "artists_only": artists_only,
        "design": study.plan["design"],
        "rules": asdict(rules),
        "raters": found.raters,
        "excluded": found.excluded,
        "krippendorff_alpha": found.alpha,
        "levels": statistics.LEVELS,
        "unsuccessful": statistics.UNSUCCESSFUL,
    }
    flags = [*(["SYNTHETIC: no person gave these answers"] if study.synthetic else []), *found.flags]
    return Result("study", __version__, study.seed, "people", settings, {}, found.rows, flags)


def _figure(value: float) -> str:
    return f"{value:.2f}"
