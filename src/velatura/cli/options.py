"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

import click

DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)

METHOD = click.option(
    "--method",
    type=click.Choice(["full", "lora", "dreambooth", "textual-inversion"]),
    default="full",
    show_default=True,
    help="How the mimic fine-tunes.",
)
