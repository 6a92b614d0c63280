"""``velatura lab report``: results as a page, Markdown or CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from velatura.cli.files import new_or_ours
from velatura.errors import InputError

if TYPE_CHECKING:
    from velatura.reports.page import Run


FORMS = {".html": "html", ".htm": "html", ".md": "md", ".csv": "csv", ".jpg": "jpg", ".jpeg": "jpg", "": "html"}
COMMENT = b"<!-- velatura report -->"
# What tells files of ours, which may be written over.
MARKS = {"html": COMMENT, "md": COMMENT, "csv": b"run,artist,arm,", "jpg": b"velatura report"}


@click.command("report", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; without it Markdown and CSV go to standard output.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "csv", "jpg"]),
    help="Else what the output's name says, or html.",
)
@click.option("--title", help="Heading of the page.")
@click.option(
    "--art", is_flag=True, help="Also show the artist's own pictures, untouched and protected: keep it to you."
)
def report_command(
    results: tuple[Path, ...], output: Path | None, form: str | None, title: str | None, art: bool
) -> None:
    """Report on RESULTS: result files (result.json), or output folders of `velatura lab evaluate`.

    A page is one file with tables, plots, settings and flags; from an output folder also with the mimics' pictures side
    by side (`-o sheet.jpg`: these alone). Several results are also asked whether fast figures predict slow ones.
    """
    from velatura.reports import page, tables
    from velatura.reports.result import write

    form = form or FORMS.get(output.suffix.lower() if output else "")
    if form is None:
        raise InputError(f"{output}: expected a name that ends in {', '.join(filter(None, FORMS))}, or --format")
    if output is not None:
        new_or_ours(output, MARKS[form])
    if output is None and form in ("html", "jpg"):
        raise InputError("a page needs a file: expected -o page.html (or --format md or csv)")
    runs = _runs(results)
    if form == "jpg":
        assert output is not None
        _draw(runs, output, art)
        return
    if form == "html":
        text = page.html(runs, art=art, **({"title": title} if title else {}))
    elif form == "md":
        text = (f"# {title}\n\n" if title else "") + page.markdown(runs)
    else:
        text = tables.comma_separated({run.name: tables.cells(run.result.rows) for run in runs})
    if output is None:
        click.echo(text, nl=False)
        return
    write(text if form == "csv" else f"{text}{MARKS[form].decode()}\n", output)
    click.echo(output)


def _draw(runs: Sequence[Run], output: Path, art: bool) -> None:
    from velatura.images import save
    from velatura.reports import pictures

    found = [sheet for run in runs if run.folder is not None for sheet in pictures.sheets(run.folder, art=art)]
    if not found:
        raise InputError("a sheet of pictures needs an output folder of velatura lab evaluate, where they lie")
    save(pictures.drawn(found), output)
    click.echo(output)


def _runs(results: Sequence[Path]) -> list[Run]:
    """Every result that can be read, a line for each that cannot, under names that tell them apart."""
    from velatura.reports.page import Run
    from velatura.reports.result import load

    found = []
    for path in _files(results):
        try:
            result = load(path)
        except InputError as error:
            click.echo(f"left out: {error}", err=True)
            continue
        whole = path.name == "result.json"
        found.append(Run(path.resolve().parent.name if whole else path.stem, result, path.parent if whole else None))
    if not found:
        raise InputError("expected results of velatura lab evaluate (result.json, or its output folder), found none")
    twice = {name for name, count in Counter(run.name for run in found).items() if count > 1}
    return [
        Run(f"{run.name} ({i + 1})", run.result, run.folder) if run.name in twice else run
        for i, run in enumerate(found)
    ]


def _files(results: Sequence[Path]) -> list[Path]:
    """Result files, in folders the ones called result.json, else every JSON file."""
    found: list[Path] = []
    for path in results:
        if path.is_dir():
            inside = sorted(path.rglob("result.json")) or sorted(path.glob("*.json"))
            found += [p for p in inside if p not in found]
        elif path not in found:
            found.append(path)
    return found
