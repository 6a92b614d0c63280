"""``velatura protect``: files and folders in, protected files with their reports and sheets out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velatura.cli.files import of_other_kinds, tasks
from velatura.cli.groups import GroupedCommand
from velatura.cli.options import DATABASE, SETTINGS, grouped, settings_from
from velatura.errors import InputError

if TYPE_CHECKING:
    from velatura.protection import Settings


@click.command("protect", cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("protected"),
    show_default=True,
    help="Folder for the protected pictures and their reports.",
)
@SETTINGS
@click.option("--sample", is_flag=True, help="Protect the picture that comes with the package.")
@click.option("--force", is_flag=True, help="Do again what is done already.")
@click.option("--background", is_flag=True, help="Queue them and return; `velatura jobs` shows how they stand.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Figures and timings of each picture.")
@grouped("style", "--keep-target", is_flag=True, help="Also leave the painted target as NAME.target.png.")
@grouped("expert", "--json", "as_json", is_flag=True, help="One JSON report a line on standard output.")
@DATABASE
def protect_command(files: tuple[Path, ...], output: Path, as_json: bool, **options: Any) -> None:
    """Protect FILES (pictures, folders, or - for standard input to standard output).

    Leaves in the output folder each picture under its own name, in its own format (or that of --format), with
    NAME.report.json and NAME.sheet.png beside it. Originals are never touched; what is done already is skipped.

    Exit status: 0 all done; 1 some pictures failed; 2 wrong usage; 130 cancelled.
    """
    if options["sample"]:
        from velatura import weights

        files = (*files, weights.embedded("sample"))
    if not files:
        raise click.UsageError("expected FILES: pictures, folders, or - for standard input; or --sample")
    settings = settings_from(options)
    if any(str(file) == "-" for file in files):
        if len(files) > 1 or as_json or options["keep_target"] or options["background"]:
            others = "no other files, --json, --keep-target or --background"
            raise InputError(f"standard input (-) stands alone: expected {others}")
        _pipe(settings, quiet=options["quiet"])
        return
    from velatura.cli.batch import Batch
    from velatura.images.artwork import printable
    from velatura.images.formats import READ

    todo, left_out = tasks(files, output, format=options["format"], page=options["page"])
    if left_out:
        click.echo(of_other_kinds(left_out), err=True)
    if not todo:
        raise InputError(f"no pictures found in {', '.join(map(printable, files))}: expected {READ}")
    if options["background"]:
        from velatura.cli.background import Background

        job = Background(options["database"], settings, output, options).submit(todo)
        click.echo(job.id)
        if not options["quiet"]:
            click.echo(f"queued {len(todo)} pictures; see: velatura jobs show {job.id[:8]}", err=True)
        return
    failed = Batch(settings, todo, options, as_json).run()
    raise click.exceptions.Exit(1 if failed else 0)


def _pipe(settings: Settings, quiet: bool) -> None:
    from velatura.images import read_guarded
    from velatura.protection import Protector

    artwork = read_guarded(sys.stdin.buffer.read(), page=settings.page)
    protected = Protector(settings).protect(artwork)
    sys.stdout.buffer.write(protected.data)
    if not quiet:
        unknown = protected.report["unknown"]
        lines = [protected.verdict.sentence, *protected.report["flags"], *protected.report["notes"]]
        for line in [*lines, unknown] if unknown else lines:
            click.echo(line, err=True)
