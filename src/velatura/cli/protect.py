"""``velatura protect``: files and folders in, protected files with their reports and sheets out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velatura.cli.files import tasks
from velatura.cli.options import DEVICE
from velatura.errors import InputError

if TYPE_CHECKING:
    from velatura.protect import Settings

EFFORT_NAMES = ["fast", "default", "max", "paper"]


@click.command("protect", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("protected"),
    show_default=True,
    help="Folder for the protected pictures and their reports.",
)
@click.option(
    "-i",
    "--intensity",
    default="default",
    show_default=True,
    help="low, default, high (LPIPS 0.05, 0.1, 0.2) or a number: how visible the cloak may be; 0: a copy without.",
)
@click.option(
    "--cast",
    type=float,
    help="How far colours may drift, in ΔE; by default 30 times the intensity (3 at default).",
)
@click.option(
    "-e",
    "--effort",
    type=click.Choice(EFFORT_NAMES),
    default="default",
    show_default=True,
    help="How long to optimise; paper is the published recipe: 500 steps, no bound on colour casts.",
)
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=("auto",),
    show_default=True,
    help="Model to cloak against: a name (velatura models list), hub id or folder. Repeat for an ensemble.",
)
@click.option(
    "-r",
    "--resolution",
    "resolutions",
    multiple=True,
    type=int,
    help="Short side (px) at which mimics train, 512 or the model's own by default. Repeat for several.",
)
@click.option("--style", help="Target style by name instead of a drawn one (velatura styles list).")
@click.option(
    "--artist", help="Keep one target style, drawn or named, for all of this artist's pictures, now and later."
)
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Draw the style from this catalogue (velatura styles build).",
)
@click.option(
    "--band",
    nargs=2,
    type=float,
    default=(50.0, 75.0),
    show_default=True,
    help="Percentiles of distance within which the target style is drawn.",
)
@click.option("--painter", help="Paint the target with this diffusion model (hub id or folder) instead.")
@click.option("--painter-strength", default=0.5, show_default=True, help="How much the painter changes, 0 to 1.")
@click.option("--painter-guidance", default=7.5, show_default=True, help="The painter's guidance scale.")
@click.option("--painter-steps", default=30, show_default=True, help="The painter's denoising steps.")
@click.option(
    "-f",
    "--format",
    type=click.Choice(["png", "jpeg", "webp", "tiff", "avif"]),
    help="Write this kind of file instead of the source's own.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    help="Of JPEG, WebP and AVIF; by default the source's, at least 90, below which much of a cloak is lost.",
)
@click.option(
    "--deliver",
    "to",
    metavar="PLATFORM|WIDTH",
    help="Make it smaller first, for instagram, x, bluesky, artstation or to a width in pixels; cloak last.",
)
@click.option("--page", type=click.IntRange(1), help="Which page of files that hold several, counted from 1.")
@click.option("--strip-gps", is_flag=True, help="Leave out where it was made.")
@click.option("--strip-all", is_flag=True, help="Leave out all metadata but the colour profile.")
@click.option(
    "--do-not-train",
    is_flag=True,
    help="Say in the metadata (XMP) that generative models may not train on it: a signal, not a protection.",
)
@click.option("--rights", metavar="TEXT", help="Whose rights these are, for the metadata (XMP).")
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
@DEVICE
@click.option("--sample", is_flag=True, help="Protect the picture that comes with the package.")
@click.option("--keep-target", is_flag=True, help="Also leave the painted target as NAME.target.png.")
@click.option("--force", is_flag=True, help="Do again what is done already.")
@click.option("--offline/--online", default=True, show_default=True, help="Use only what is on this machine.")
@click.option("--json", "as_json", is_flag=True, help="One JSON report a line on standard output.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Figures and timings of each picture.")
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
    from velatura.cloaks.budget import intensity
    from velatura.images import Delivery
    from velatura.protect import Settings

    asked = ("format", "quality", "to", "strip_gps", "strip_all", "do_not_train", "rights")
    settings = Settings(
        budget=intensity(options["intensity"]),
        cast=options["cast"],
        effort=options["effort"],
        models=tuple(options["models"]),
        resolutions=tuple(options["resolutions"]),
        seed=options["seed"],
        style=options["style"],
        artist=options["artist"],
        catalogue=options["catalogue"],
        band=options["band"],
        painter=options["painter"],
        painter_strength=options["painter_strength"],
        painter_guidance=options["painter_guidance"],
        painter_steps=options["painter_steps"],
        device=options["device"],
        offline=options["offline"],
        delivery=Delivery(**{name: options[name] for name in asked}),
    )
    if any(str(file) == "-" for file in files):
        if len(files) > 1 or as_json or options["keep_target"]:
            raise InputError("standard input (-) stands alone: expected no other files, no --json, no --keep-target")
        _pipe(settings, options["page"], quiet=options["quiet"])
        return
    from velatura.cli.batch import Batch
    from velatura.images.artwork import printable
    from velatura.images.formats import READ

    todo, left_out = tasks(files, output, format=options["format"], page=options["page"])
    if left_out:
        names = ", ".join(printable(path) for path in left_out[:3]) + (", ..." if len(left_out) > 3 else "")
        click.echo(f"left out {len(left_out)} pictures of kinds that are not read: {names}", err=True)
    if not todo:
        raise InputError(f"no pictures found in {', '.join(map(printable, files))}: expected {READ}")
    failed = Batch(settings, todo, options, as_json).run()
    raise click.exceptions.Exit(1 if failed else 0)


def _pipe(settings: Settings, page: int | None, quiet: bool) -> None:
    from velatura.images import read_guarded
    from velatura.protect import Protector

    artwork = read_guarded(sys.stdin.buffer.read(), page=page)
    protected = Protector(settings).protect(artwork)
    sys.stdout.buffer.write(protected.data)
    if not quiet:
        for line in (protected.verdict.sentence, *protected.report["flags"], *protected.report["notes"]):
            click.echo(line, err=True)
