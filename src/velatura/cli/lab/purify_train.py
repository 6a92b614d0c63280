"""``velatura lab purify train``: the learned countermeasure, from pairs of folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from velatura.cli import progress
from velatura.cli.files import new_file
from velatura.cli.options import DEVICE, SEED
from velatura.errors import Cancelled, InputError

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command("train", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("cloaked", type=FOLDER)
@click.argument("clean", type=FOLDER)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The new file.")
@click.option("--steps", default=2000, show_default=True, type=click.IntRange(1), help="Training steps.")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(1), help="Squares a step.")
@click.option("--lr", "rate", default=1e-3, show_default=True, type=float, help="Learning rate at the start.")
@click.option("--crop", default=96, show_default=True, type=click.IntRange(32), help="Side of the squares in pixels.")
@click.option(
    "-r",
    "--resolution",
    default=512,
    show_default=True,
    type=click.IntRange(32),
    help="Short side (px) that pictures are brought to: what the mimic trains at.",
)
@SEED
@DEVICE
def train_command(cloaked: Path, clean: Path, output: Path, resolution: int, device: str, **given: Any) -> None:
    """Train the learned countermeasure on pairs: the pictures in CLOAKED and those of the same names in CLEAN.

    Take art of other artists than the one whose pictures it is for. A stopped run continues with the same command. Use
    it with `velatura lab purify FILES --with learned --model FILE`.
    """
    from velatura.countermeasures import purifier_training as training
    from velatura.countermeasures.pairs import find, opened
    from velatura.diffusion.device import pick_device

    new_file(output)
    settings = training.TrainingSettings(side=resolution, **given)
    found = find(cloaked, clean)
    pairs = list(opened(found, resolution, lambda reason: click.echo(f"left out: {reason}", err=True)).values())
    if len(pairs) < 2:
        raise InputError(f"expected two pictures or more in {cloaked} with namesakes in {clean}, got {len(pairs)}")
    click.echo(f"{len(pairs)} pairs, {settings.steps} steps of {settings.batch}", err=True)
    with progress.bar(settings.steps, "step") as bar:

        def on_step(step: training.Step) -> None:
            bar.set_postfix_str(f"loss {step.loss:.4f}", refresh=False)
            bar.update(step.done - bar.n)

        try:
            made = training.train(pairs, output, settings, device=pick_device(device), on_step=on_step)
        except KeyboardInterrupt:
            raise Cancelled("cancelled: the same command continues from the last checkpoint") from None
    facts = made.facts
    click.echo(
        f"{facts['held_out']} held-out pairs: PSNR to the clean picture {facts['psnr_before']:.1f} dB as cloaked, "
        f"{facts['psnr_after']:.1f} dB purified",
        err=True,
    )
    click.echo(output)
