"""``velatura styles``: list, show and build the catalogue of target styles."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from velatura.cli import progress
from velatura.cli.files import new_or_ours
from velatura.cli.options import DEVICE
from velatura.errors import Cancelled
from velatura.reports.result import to_json

CATALOGUE = click.option(
    "--catalogue",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A catalogue file instead of the embedded one.",
)


@click.group("styles", context_settings={"help_option_names": ["-h", "--help"]})
def styles_group() -> None:
    """List, show and build the catalogue of target styles."""


@styles_group.command("list")
@CATALOGUE
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_command(catalogue: Path | None, as_json: bool) -> None:
    """All styles: name, artist, movement, dates, number of pictures."""
    from velatura.styles.catalogue import load

    styles = load(catalogue).styles
    if as_json:
        keys = ("name", "artist", "movement", "dates", "licence", "pictures")
        click.echo(to_json([{key: getattr(style, key) for key in keys} for style in styles], ascii=True), nl=False)
        return
    rows = [
        (style.name, str(style.pictures), style.movement or "-", f"{style.artist}, {style.dates or 'undated'}")
        for style in styles
    ]
    wide = max(len(row[0]) for row in rows)
    for name, pictures, movement, artist in [("style", "pictures", "movement", "artist, dates"), *rows]:
        click.echo(f"{name:{wide}}  {pictures:>8}  {movement:32}  {artist}")


@styles_group.command("show")
@click.argument("name")
@CATALOGUE
@click.option("-n", "--neighbours", default=5, show_default=True, help="How many nearest and farthest styles to show.")
def show_command(name: str, catalogue: Path | None, neighbours: int) -> None:
    """One style NAME, with its nearest and farthest neighbours in the style space."""
    from velatura.styles.catalogue import load

    book = load(catalogue)
    style = book.find(name)
    click.echo(f"{style.name}: {style.artist}, {style.dates or 'undated'}; {style.movement or 'movement not given'}")
    plural = "" if style.pictures == 1 else "s"
    click.echo(f"{style.pictures} picture{plural}; {style.licence or 'licence not given'}")
    ranked = [(d, s) for d, s in book.ranking(style.centroid) if s.name != style.name]
    for title, part in (("nearest", ranked[:neighbours]), ("farthest", ranked[-neighbours:][::-1])):
        click.echo(f"{title}:")
        for distance, other in part:
            click.echo(f"  {distance:5.2f}  {other.name}")


@styles_group.command("build")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--works",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder in which each picture is a style of its own.",
)
@click.option("--facts", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="CSV of name and movement.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The catalogue file to write (JSON).",
)
@DEVICE
def build_command(
    folders: tuple[Path, ...], works: tuple[Path, ...], facts: Path | None, output: Path, device: str
) -> None:
    """Measure the pictures of FOLDERS (one sub-folder an artist) and write a catalogue: numbers, no pictures.

    A stopped run continues where it was (OUTPUT.journal).
    """
    from velatura.diffusion import extractors
    from velatura.diffusion.device import pick_device
    from velatura.styles import space
    from velatura.styles.catalogue import build, sources

    new_or_ours(output, b'"styles"', b'"scale"')
    groups = sources(folders, works, facts)
    output.parent.mkdir(parents=True, exist_ok=True)
    journal = output.with_name(output.name + ".journal")
    total = sum(len(group.paths) for group in groups)
    with progress.bar(total, "picture") as bar:

        def on_picture(done: int, total: int, path: Path, error: str | None) -> None:
            bar.update(1)
            if error is not None:
                bar.write(f"left out: {error}", file=sys.stderr)

        try:
            catalogue = build(groups, extractors.load(space.MODEL, pick_device(device)), journal, on_picture=on_picture)
        except KeyboardInterrupt:
            raise Cancelled(f"cancelled: the same command continues from {journal}") from None
    catalogue.save(output)
    journal.unlink()
    click.echo(f"{output}: {len(catalogue.styles)} styles of {sum(s.pictures for s in catalogue.styles)} pictures")
