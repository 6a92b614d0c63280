"""``velatura lab mimic``: the attack that cloaks defend against, so that anyone can measure what a cloak is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from velatura.cli import progress
from velatura.cli.files import artist_of, opened_at, pictures
from velatura.cli.lab.invert import invert_command
from velatura.cli.lab.mimic_generate import generate_command, img2img_command
from velatura.cli.options import DEVICE, METHOD, SEED
from velatura.errors import Cancelled, InputError


@click.group("mimic", context_settings={"help_option_names": ["-h", "--help"]})
def mimic_group() -> None:
    """The attack: fine-tune a text-to-image model on an artist's pictures and generate in their style.

    For measuring protection, on pictures that you may use. `velatura lab judge` tells whose style comes out.
    """


for command in (generate_command, img2img_command, invert_command):
    mimic_group.add_command(command)


@mimic_group.command("train")
@click.argument("art", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the new model.")
@click.option("--model", default="mini", show_default=True, help="Base: mini, sd15, sd21, a hub id or a folder.")
@METHOD
@click.option("--artist", help="Name in captions and prompts; else the folder's name.")
@click.option(
    "--captions",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV or JSON lines: file_name, text.",
)
@click.option("--captioner", help="A BLIP model (hub id or folder) that captions pictures without caption.")
@click.option("--steps", type=int, help="Training steps; else the usual number for model and method.")
@click.option("--lr", "rate", type=float, help="Learning rate; else the usual one.")
@click.option("--batch", type=int, help="Pictures a step; else the usual number.")
@click.option("--resolution", type=int, help="Side of the training squares in pixels; else the model's own.")
@SEED
@DEVICE
def train_command(
    art: tuple[Path, ...],
    output: Path,
    model: str,
    method: Any,
    artist: str | None,
    captions: Path | None,
    captioner: str | None,
    device: str,
    **given: Any,
) -> None:
    """Fine-tune a model on the pictures in ART (files or folders), 20 to 30 of one artist.

    A stopped run continues with the same command.
    """
    from velatura.diffusion import pipeline as models
    from velatura.diffusion.device import pick_device
    from velatura.mimicry import captioner as blip
    from velatura.mimicry import captions as words
    from velatura.mimicry import finetune

    name = artist or artist_of(art)
    if output.exists():
        raise InputError(f"{output} exists already: choose another folder, or delete it")
    device = pick_device(device)
    pipeline = models.load(model, device)
    settings = finetune.defaults(pipeline, method)
    settings = replace(settings, **{key: value for key, value in given.items() if value is not None})
    paths, tensors = opened_at(pictures(art), settings.resolution)
    texts = words.of_folder(paths, name, table=captions, captioner=blip.load(captioner, device) if captioner else None)
    click.echo(f"{len(paths)} pictures of {name}, {settings.resolution} px; {method} on {model}", err=True)
    click.echo(f"{settings.steps} steps of {settings.batch} at {settings.rate:g} on {device}", err=True)
    with progress.bar(settings.steps, "step") as bar:

        def on_step(step: finetune.Step) -> None:
            bar.set_postfix_str(f"loss {step.loss:.3f}", refresh=False)
            bar.update(step.done - bar.n)

        try:
            finetune.train(pipeline, model, tensors, texts, name, output, settings, on_step=on_step)
        except KeyboardInterrupt:
            raise Cancelled("cancelled: the same command continues from the last checkpoint") from None
    click.echo(output)
