"""``velatura lab robustness``: what is left of a cloak after each countermeasure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from velatura.cli.files import artist_of, new_file, pictures, readable
from velatura.cli.options import DEVICE, SEED, UPSCALER
from velatura.errors import Cancelled, InputError

if TYPE_CHECKING:
    from velatura.reports.result import Result

SEVERAL = ("--budgets", "--countermeasures")
COLUMNS = ("decoded_shift", "decoded_shift_over_noise", "view_shift_top3", "lpips_to_clean", "psnr_to_clean")


class SeveralValues(click.Command):
    """``--budgets 0.05 0.1``: an option takes all words up to the next option or the first that is a path.

    What the option knows wins over a file of that name: write ``./jpeg`` for the folder.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        current = None
        for word in args:
            if word.startswith("-"):
                current = word if word in SEVERAL else None
                spread += [] if current else [word]
            elif current and (not Path(word).exists() or _is_value(current, word)):
                spread += [current, word]
            else:
                current = None
                spread.append(word)
        return super().parse_args(ctx, spread)


def _is_value(option: str, word: str) -> bool:
    if option == "--countermeasures":
        from velatura.countermeasures import plugged

        return word == "all" or word in plugged.names()
    from velatura.cloaks.budget import intensity

    try:
        intensity(word)
    except InputError:
        return False
    return True


@click.command("robustness", cls=SeveralValues, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("art", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The new JSON file."
)
@click.option("--budgets", multiple=True, default=("0.1",), help="LPIPS budgets, one or more.  [default: 0.1]")
@click.option(
    "--countermeasures",
    "names",
    multiple=True,
    default=("all",),
    help="Names (velatura lab purify --list), one or more, or all.  [default: all]",
)
@click.option(
    "--set", "changes", multiple=True, metavar="NAME.KEY=VALUE", help="A countermeasure's setting. Repeatable."
)
@click.option(
    "--cloak",
    "method",
    default="velatura",
    show_default=True,
    help="An arm of velatura lab evaluate: velatura, glaze, application, blend, decoded, hardened, photoguard, "
    "styleguard, advdm, mist, aspl, veil or shuffled.",
)
@click.option("--style", help="The target style T by name, as in an evaluation; else chosen for the pictures.")
@click.option("--effort", default="default", show_default=True, help="Of the cloak: fast, default, max, paper.")
@click.option("--model", default="mini", show_default=True, help="The mimic's model: a name, hub id or folder.")
@click.option(
    "--cloak-model", "cloak_models", multiple=True, help="What cloaks are made on; else the mimic's own. Repeatable."
)
@UPSCALER
@click.option(
    "--purifier",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A purifier's file (velatura lab purify train) for the learned countermeasure.",
)
@click.option("--artist", help="Name in the result; else the folder's name.")
@click.option("-n", "count", default=8, show_default=True, type=click.IntRange(2), help="Pictures to protect.")
@click.option(
    "-r", "--resolution", default=128, show_default=True, type=click.IntRange(64), help="Short side in pixels."
)
@SEED
@DEVICE
def robustness_command(
    art: tuple[Path, ...],
    output: Path,
    budgets: tuple[str, ...],
    names: tuple[str, ...],
    changes: tuple[str, ...],
    artist: str | None,
    count: int,
    resolution: int,
    device: str,
    **settings: Any,
) -> None:
    """Protect some of the pictures in ART, apply every countermeasure, and measure what the model still sees.

    The fast depth: without fine-tuning. Noise of equal visibility and clean pictures go through the same. The other
    pictures in ART (eight or more) teach the style judge. A stopped run continues with the same command. Needs the
    extra velatura[lab].
    """
    from velatura.cloaks.budget import intensity
    from velatura.diffusion.device import pick_device
    from velatura.evaluation.robustness import Robustness, run

    if resolution % 8:
        raise InputError(f"resolution: expected a multiple of 8, got {resolution}")
    new_file(output)
    name = artist or artist_of(art)
    paths = readable(pictures(art), f"of {name}")
    plan = Robustness(
        paths,
        name,
        budgets=tuple(intensity(text) for text in budgets),
        countermeasures=() if "all" in names else names,
        changes=_changes(changes),
        pictures=count,
        side=resolution,
        device=pick_device(device),
        **settings,
    )
    with tqdm(disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:

        def say(what: str, done: int, total: int) -> None:
            if bar.disable:
                click.echo(what, err=True)
                return
            bar.total = total
            bar.set_description(what)
            bar.update(done - bar.n)

        try:
            result = run(plan, output, say)
        except KeyboardInterrupt:
            raise Cancelled("cancelled: the same command continues") from None
    _show(result)
    click.echo(output)


def _changes(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or "." not in key:
            raise InputError(f"--set {text!r}: expected NAME.KEY=VALUE, as in jpeg.quality=50")
        found[key.strip()] = value.strip()
    return found


def _show(result: Result) -> None:
    """One line an arm and countermeasure."""
    lines: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in result.rows:
        lines.setdefault((row.cloak or row.arm, row.budget, row.countermeasure), {})[row.metric] = row.value
    click.echo(f"{'':34}" + "".join(f"{name.removesuffix('_to_clean')[-12:]:>14}" for name in COLUMNS), err=True)
    for (who, budget, countermeasure), values in lines.items():
        shown = "".join(f"{values[name]:14.2f}" if name in values else f"{'':14}" for name in COLUMNS)
        name = f"{who}{'' if budget is None else f' {budget:g}'}"
        click.echo(f"{name:16} {countermeasure:17}{shown}", err=True)
    for flag in result.flags:
        click.echo(f"note: {flag}", err=True)
