"""``velatura inspect``: what is in a file, whether a report of ours describes it, and what a model sees of it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velatura.cli.batch import by_family
from velatura.cli.files import new_file, reports_beside
from velatura.cli.options import DEVICE

if TYPE_CHECKING:
    from velatura.images import Artwork


@click.command("inspect", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--page", type=click.IntRange(1), help="Which page of files that hold several, counted from 1.")
@click.option(
    "--view",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write here, as PNG, what the model's autoencoder makes of the (one) picture.",
)
@click.option("-m", "--model", default="auto", show_default=True, help="The model for --view.")
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
def inspect_command(
    files: tuple[Path, ...], page: int | None, view: Path | None, model: str, device: str, as_json: bool
) -> None:
    """Show what is in FILES: kind, colours, metadata, and whether a Velatura report beside a file is of that very file.

    Exit status: 0 all read; 1 some could not be read.
    """
    import json

    from velatura.errors import ImageError, InputError, MissingExtra
    from velatura.images import read_guarded
    from velatura.images.artwork import printable

    if view is not None and len(files) > 1:
        raise InputError(f"--view: expected one file, got {len(files)}")
    if view is not None:
        new_file(view)
    failed = 0
    for path in files:
        try:
            artwork = read_guarded(path, page=page)
        except (ImageError, MissingExtra) as error:
            failed += 1
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
            continue
        found = {"file": printable(path), **_facts(artwork), "report": _report(path)}
        if as_json:
            click.echo(json.dumps(found))
        else:
            _show(found)
        if view is not None:
            _write_view(artwork, view, model, device)
    raise click.exceptions.Exit(1 if failed else 0)


def _facts(artwork: Artwork) -> dict[str, Any]:
    from velatura.images import metadata
    from velatura.images.color import profile_name

    colours = "grey" if artwork.grey else "colour"
    return {
        "format": artwork.format,
        "width": artwork.width,
        "height": artwork.height,
        "bytes": artwork.source_bytes,
        "colours": f"{colours}, {artwork.depth} bits" + (", transparency" if artwork.alpha else ""),
        "profile": profile_name(artwork.icc) if artwork.icc else None,
        "quality": artwork.quality,
        "compression": artwork.compression,
        "metadata": metadata.summary(artwork.metadata),
        "notes": list(artwork.notes),
    }


def _report(path: Path) -> dict[str, Any] | None:
    """What the report beside the file says that is of this very file, or else the first one that names it."""
    digest = sha256(path.read_bytes()).hexdigest()
    found = [report for report in reports_beside(path) if report.get("output") == path.name]
    report = next((r for r in found if r["output_sha256"] == digest), next(iter(found), None))
    if report is None:
        return None
    matches = report["output_sha256"] == digest
    told = {"matches": matches, "velatura": report["velatura"], "verdict": report["verdict"]["sentence"]}
    # Reports of earlier versions have neither.
    return told | {"families": report.get("families", {}), "unknown": report.get("unknown")}


def _show(found: dict[str, Any]) -> None:
    click.echo(found["file"])
    size = f"{found['width']}x{found['height']}, {found['bytes'] / 1000:.0f} kB"
    lines = {"picture": f"{found['format']}, {size}, {found['colours']}", "profile": found["profile"] or "none: sRGB"}
    if found["quality"]:
        lines["quality"] = f"about {found['quality']}"
    if found["compression"]:
        lines["compression"] = found["compression"]
    lines |= {name: ("no", "yes")[v] if isinstance(v, bool) else str(v) for name, v in found["metadata"].items()}
    lines |= {f"note {i}": note for i, note in enumerate(found["notes"], 1)}
    report = found["report"]
    if report is None:
        lines["report"] = "no Velatura report beside it"
    elif report["matches"]:
        lines["report"] = f"is of this very file: {report['verdict']}"
        lines |= {f"seen {i}": line for i, line in enumerate(by_family(report), 1)}
    else:
        lines["report"] = "names this file, but the file has changed since"
    for name, value in lines.items():
        click.echo(f"  {name + ':':16} {' '.join(value.split())}")
    if report is not None and report["matches"] and report["unknown"]:
        click.echo(f"  {report['unknown']}")


def _write_view(artwork: Artwork, path: Path, model: str, device: str) -> None:
    import torch

    from velatura.diffusion import extractors
    from velatura.diffusion.device import pick_device
    from velatura.images import save, working
    from velatura.protection.panels import png
    from velatura.protection.views import squares

    extractor = extractors.load(extractors.resolve((model,))[0], pick_device(device))
    picture = working(artwork, 512).to(extractor.device)
    seen = torch.zeros_like(picture)
    with torch.no_grad():
        for rows, columns in squares(picture):
            seen[..., rows, columns] = extractor.view(picture[..., rows, columns])
    save(png(seen), path)
    click.echo(f"{path}: what {extractor.name} sees, at {picture.shape[-1]}x{picture.shape[-2]}", err=True)
