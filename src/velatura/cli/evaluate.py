"""``velatura evaluate``: what a cloak does to a mimic's pictures, beside noise of equal visibility."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from velatura.cli.files import artist_of, pictures
from velatura.cli.options import DEVICE, METHOD
from velatura.errors import Cancelled

if TYPE_CHECKING:
    from velatura.reports.result import Result

SHOWN = ("style_top1", "style_top3", "style_shift_top1", "style_shift_top3", "copy_rate", "gain_over_noise_top3")


@click.command("evaluate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("art", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of it all."
)
@click.option(
    "--plan",
    default="headline",
    show_default=True,
    help="headline, budgets, shares or clean (see the docs); --arm replaces it.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    help="An arm: clean, noise:0.05, velatura:0.1@0.5 (half of the pictures), or LABEL=FOLDER of protected pictures.",
)
@click.option("--artist", help="Name in captions and prompts; else the folder's name.")
@click.option(
    "--model", default="mini", show_default=True, help="The mimic's base: mini, sd15, sd21, a hub id or folder."
)
@METHOD
@click.option("--train-steps", type=click.IntRange(1), help="Fine-tuning steps; else the usual number.")
@click.option("--cloak-model", multiple=True, help="What cloaks are made on; else the mimic's own model. Repeatable.")
@click.option("--effort", default="default", show_default=True, help="Of the cloaks: fast, default, max, paper.")
@click.option("--training", type=click.IntRange(1), help="Pictures that the mimic gets; else 20, or half.")
@click.option("-n", "each", default=4, show_default=True, type=click.IntRange(1), help="Pictures a subject, of 24.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="Mimics an arm.")
@DEVICE
def evaluate_command(
    art: tuple[Path, ...],
    output: Path,
    plan: str,
    arms: tuple[str, ...],
    artist: str | None,
    train_steps: int | None,
    cloak_model: tuple[str, ...],
    seeds: int,
    device: str,
    **settings: Any,
) -> None:
    """Protect the pictures in ART in several ways, fine-tune a mimic on each, generate, and judge whose style it is.

    Everything is kept in the output folder: a stopped run continues there, on another machine as well.
    """
    from velatura.diffusion.device import pick_device
    from velatura.evaluation import Arm, Protocol, plans, run, stages

    paths = pictures(art)
    name = artist or artist_of(art)
    chosen = [Arm.parse(text) for text in arms] if arms else plans.arms(plan)
    changes = {} if train_steps is None else {"steps": train_steps}
    protocol = Protocol(
        paths, name, chosen, changes=changes, extractors=cloak_model or ("mimic",), seeds=tuple(range(seeds)),
        device=pick_device(device), **settings,
    )  # fmt: skip
    for line in stages(protocol):
        click.echo(line, err=True)
    current = ""
    with tqdm(disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:

        def say(what: str, done: int, total: int) -> None:
            nonlocal current
            if bar.disable:
                if what != current:  # a log gets a line a stage
                    click.echo(what, err=True)
            else:
                if what != current:
                    bar.reset(total)
                    bar.set_description(what)
                bar.update(done - bar.n)
            current = what

        try:
            result = run(protocol, output, say)
        except KeyboardInterrupt:
            raise Cancelled(f"cancelled: the same command continues in {output}") from None
    _show(result)
    click.echo(output / "result.json")


def _show(result: Result) -> None:
    for row in result.rows:
        if row.metric in SHOWN:
            who = f"{row.cloak or row.arm}{'' if row.budget is None else f' {row.budget:g}'}"
            between = "" if row.low is None else f"  ({row.low:.2f} to {row.high:.2f})"
            click.echo(f"{who:24} {row.metric:22} {row.value:6.2f}{between}  n {row.n}", err=True)
    for flag in result.flags:
        click.echo(f"note: {flag}", err=True)
