"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from velatura.protect import Settings

EFFORT_NAMES = ["fast", "default", "max", "paper"]

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

DATABASE = click.option(
    "--database",
    envvar="VELATURA_DATABASE",
    help="Database of the jobs: sqlite:///FILE or postgresql://HOST/NAME; by default a file in the user's data folder.",
)

_SETTINGS = [
    click.option(
        "-i",
        "--intensity",
        default="default",
        show_default=True,
        help="low, default, high (LPIPS 0.05, 0.1, 0.2) or a number: how visible the cloak may be.",
    ),
    click.option(
        "--cast",
        type=float,
        help="How far colours may drift, in ΔE; by default 30 times the intensity (3 at default).",
    ),
    click.option(
        "-e",
        "--effort",
        type=click.Choice(EFFORT_NAMES),
        default="default",
        show_default=True,
        help="How long to optimise; paper is the published recipe: 500 steps, no bound on colour casts.",
    ),
    click.option(
        "-m",
        "--model",
        "models",
        multiple=True,
        default=("auto",),
        show_default=True,
        help="Model to cloak against: a name (velatura models list), hub id or folder. Repeat for an ensemble.",
    ),
    click.option(
        "-r",
        "--resolution",
        "resolutions",
        multiple=True,
        type=int,
        help="Short side (px) at which mimics train, 512 or the model's own by default. Repeat for several.",
    ),
    click.option("--style", help="Target style by name instead of a drawn one (velatura styles list)."),
    click.option(
        "--artist", help="Keep one target style, drawn or named, for all of this artist's pictures, now and later."
    ),
    click.option(
        "--catalogue",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Draw the style from this catalogue (velatura styles build).",
    ),
    click.option(
        "--band",
        nargs=2,
        type=float,
        default=(50.0, 75.0),
        show_default=True,
        help="Percentiles of distance within which the target style is drawn.",
    ),
    click.option("--painter", help="Paint the target with this diffusion model (hub id or folder) instead."),
    click.option("--painter-strength", default=0.5, show_default=True, help="How much the painter changes, 0 to 1."),
    click.option("--painter-guidance", default=7.5, show_default=True, help="The painter's guidance scale."),
    click.option("--painter-steps", default=30, show_default=True, help="The painter's denoising steps."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice."),
    DEVICE,
    click.option("--offline/--online", default=True, show_default=True, help="Use only what is on this machine."),
]


def SETTINGS(command: Any) -> Any:
    """Everything that decides how a picture is protected."""
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


def settings_from(options: dict[str, Any]) -> Settings:
    """The settings that the options of ``SETTINGS`` mean."""
    from velatura.cloaks.budget import intensity
    from velatura.protect import Settings

    same = ("cast", "effort", "seed", "style", "artist", "catalogue", "band", "device", "offline")
    painter = ("painter", "painter_strength", "painter_guidance", "painter_steps")
    return Settings(
        budget=intensity(options["intensity"]),
        models=tuple(options["models"]),
        resolutions=tuple(options["resolutions"]),
        **{name: options[name] for name in (*same, *painter)},
    )
