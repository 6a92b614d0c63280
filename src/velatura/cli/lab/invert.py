"""``velatura lab mimic invert``: the words behind pictures, without any fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from velatura.cli import progress
from velatura.cli.files import new_file, pictures
from velatura.cli.options import DEVICE, SEED
from velatura.errors import Cancelled, VelaturaError


@click.command("invert")
@click.argument("model")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The new file of one prompt."
)
@click.option("--clip", help="Look in the space of this CLIP (hub id or folder) instead of by MODEL's own loss.")
@click.option("--tokens", default=16, show_default=True, type=click.IntRange(1), help="Words of the prompt.")
@click.option("--steps", default=3000, show_default=True, type=click.IntRange(1), help="Iterations.")
@click.option("--lr", "rate", default=0.1, show_default=True, type=float, help="Learning rate.")
@click.option("--batch", default=4, show_default=True, type=click.IntRange(1), help="Pictures an iteration.")
@click.option("--resolution", type=click.IntRange(8), help="Side in pixels; else the model's own.")
@SEED
@DEVICE
def invert_command(
    model: str,
    files: tuple[Path, ...],
    output: Path,
    clip: str | None,
    resolution: int | None,
    device: str,
    **given: Any,
) -> None:
    """Find words that MODEL paints FILES by (PEZ): mimicry of a picture, or of a set, without training on it.

    By the loss that MODEL denoises FILES with; with --clip as published, by CLIP's similarity, for which Stable
    Diffusion 1.x takes openai/clip-vit-large-patch14. The words go into a file that `velatura lab mimic generate MODEL
    --prompts FILE` takes. For a new word with vectors of its own, which is stronger, use `velatura lab mimic train
    --method textual-inversion`.
    """
    from velatura.diffusion import clip as clips
    from velatura.diffusion import pipeline as models
    from velatura.diffusion.device import pick_device
    from velatura.images import read, save, working
    from velatura.images.resample import middle
    from velatura.mimicry.invert import PezSettings, pez, pez_by_clip

    new_file(output)
    device = pick_device(device)
    eye = clips.load(clip, device) if clip is not None else None
    pipeline = models.load(model, device)
    side = models.side(pipeline, resolution)
    tensors = []
    for path in pictures(files):
        try:
            tensors.append(middle(working(read(path), side), side))
        except (OSError, VelaturaError) as error:
            click.echo(f"left out: {error}", err=True)
    settings = PezSettings(**given)
    with progress.bar(settings.steps, "step") as bar:

        def on_step(done: int, total: int, loss: float) -> None:
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update(done - bar.n)

        try:
            if eye is None:
                found = pez(pipeline, tensors, settings, on_step=on_step)
            else:
                found = pez_by_clip(eye, pipeline, tensors, settings, on_step=on_step)
        except KeyboardInterrupt:
            raise Cancelled("cancelled: nothing was written") from None
    about = {"model": model, "pictures": len(tensors), "loss": found.loss, "loss_of_nothing": found.loss_of_nothing}
    about |= {} if clip is None else {"clip": clip, "likeness": found.likeness}
    near = "" if found.likeness is None else f", likeness to CLIP {found.likeness:.3f}"
    click.echo(f"loss {found.loss:.4f}, without words {found.loss_of_nothing:.4f}{near}", err=True)
    click.echo(found.prompt)
    # A line that starts with # is no prompt.
    save(f"# {json.dumps(about)}\n{' '.join(found.prompt.split())}\n".encode(), output)
