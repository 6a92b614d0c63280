"""``velatura models``: which models exist, which are here, and how to get one. torch is not imported."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from velatura import weights
from velatura.weights import Model


@click.group("models")
def models_group() -> None:
    """List the models that cloaks are made with, download one, or find it on disk."""


@models_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the whole table as JSON.")
def list_models(as_json: bool) -> None:
    """Show every model: is it on this machine, its size and licence, the resolution mimics train it at."""
    rows = [_row(model) for model in weights.MODELS]
    if as_json:
        for row in rows:
            row["sha256"] = weights.sha256(Path(row["path"])) if row["path"] else None
        click.echo(json.dumps(rows, indent=2))
        return
    header = ("NAME", "KIND", "ON DISK", "SIZE", "RESOLUTION", "LICENCE")
    lines = [header] + [
        (
            row["name"],
            row["kind"],
            "yes" if row["path"] else "no",
            "-" if row["size_mb"] is None else f"{row['size_mb']:.3g} MB",
            f"{row['resolution'] or '-'}",
            row["licence"],
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header) - 1)]
    for line in lines:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]))


@models_group.command("pull")
@click.argument("name")
@click.option("--whole", is_flag=True, help="The whole text-to-image model (for `velatura lab mimic`), gigabytes.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before downloading.")
@click.option("--offline", is_flag=True, help="Never use the network (as VELATURA_OFFLINE=1 does).")
def pull(name: str, whole: bool, yes: bool, offline: bool) -> None:
    """Download the model NAME into the Hugging Face cache; its size and licence are shown first.

    Only its autoencoder, which is all that a cloak needs, unless --whole is given.
    """
    model, offline = weights.lookup(name), offline or weights.offline_by_environment()
    megabytes = (model.pipeline_mb if whole else model.size_mb) if model else None
    found = weights.locate_pipeline(name) if whole else weights.locate(name)
    if model is None or megabytes is None or offline or found:
        click.echo(weights.fetch(name, whole=whole, offline=offline))  # there already, or one clear error
        return
    revision = model.revision if model.pinned else f"{model.revision} (not pinned)"
    click.echo(f"{model.name}: {model.notes}", err=True)
    click.echo(f"{megabytes:g} MB from {model.repo} at {revision}; licence: {model.licence}", err=True)
    if not yes:
        click.confirm("Download?", abort=True, err=True)
    length = int(megabytes * 1e6)
    with click.progressbar(length=length, label=model.name, file=sys.stderr) as bar:
        path = weights.fetch(name, whole=whole, on_progress=lambda done, _: bar.update(done - bar.pos))
    click.echo(f"sha256 of the autoencoder {weights.sha256(weights.require(name))}", err=True)
    click.echo(path)


@models_group.command("path")
@click.argument("name")
def show_path(name: str) -> None:
    """Print where the model NAME (a name, a hub id or a folder) is on this machine."""
    click.echo(weights.require(name))


def _row(model: Model) -> dict[str, Any]:
    found = weights.locate(model.name)
    return {
        "name": model.name,
        "kind": model.kind,
        "path": str(found) if found else None,
        "size_mb": model.size_mb or (_megabytes(found) if found else None),
        "licence": model.licence,
        "resolution": model.resolution,
        "notes": model.notes,
        "class": model.class_name,
        "repo": model.repo or None,
        "subfolder": model.subfolder or None,
        "revision": model.revision if model.repo else None,
        "pinned": model.pinned,
        "gated": model.gated,
    }


def _megabytes(path: Path) -> float:
    return round(sum(file.stat().st_size for file in weights.weight_files(path)) / 1e6, 2)
