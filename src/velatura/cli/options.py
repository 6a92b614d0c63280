"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velatura.weights import FAMILIES

if TYPE_CHECKING:
    from velatura.protection import Settings

EFFORT_NAMES = ["fast", "default", "max", "paper"]

# Larger ones would overflow where each step of a training draws from a stream of its own.
SEED = click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="The same seed makes the same result.",
)
DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)

METHOD = click.option(
    "--method",
    type=click.Choice(["full", "lora", "dreambooth", "textual-inversion", "pez"]),
    default="full",
    show_default=True,
    help="How the mimic fine-tunes; pez: not, it finds words.",
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
        help="How visible the cloak may be: low, default, high or an LPIPS budget (0.05, 0.1, 0.2); 0: a copy without.",
    ),
    click.option(
        "-e",
        "--effort",
        type=click.Choice(EFFORT_NAMES),
        default="default",
        show_default=True,
        help="How long to optimise; paper is the published recipe: 500 steps, LPIPS alone.",
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
        "--against",
        multiple=True,
        type=click.Choice(FAMILIES),
        help="Model family to cloak against; repeat for several, all by default.",
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
        help="Draw the target style as Glaze does, between two percentiles of distance (it has 50 75).",
    ),
    click.option("--painter", help="Paint the target with this diffusion model (hub id or folder) instead."),
    click.option("--painter-strength", default=0.5, show_default=True, help="How much the painter changes, 0 to 1."),
    click.option("--painter-guidance", default=7.5, show_default=True, help="The painter's guidance scale."),
    click.option("--painter-steps", default=30, show_default=True, help="The painter's denoising steps."),
    click.option(
        "-f",
        "--format",
        type=click.Choice(["png", "jpeg", "webp", "tiff", "avif"]),
        help="Write this kind of file instead of the source's own.",
    ),
    click.option(
        "--quality",
        type=click.IntRange(1, 100),
        help="Of JPEG, WebP and AVIF; by default the source's, at least 90, below which much of a cloak is lost.",
    ),
    click.option(
        "--deliver",
        "to",
        metavar="PLATFORM|WIDTH",
        help="Make it smaller first, for instagram, x, bluesky, artstation or to a width in pixels; cloak last.",
    ),
    click.option("--page", type=click.IntRange(1), help="Which page of files that hold several, counted from 1."),
    click.option("--strip-gps", is_flag=True, help="Leave out where it was made, in numbers or by name."),
    click.option("--strip-all", is_flag=True, help="Leave out all metadata but the colour profile."),
    click.option(
        "--do-not-train",
        is_flag=True,
        help="Say in the metadata (XMP) that generative models may not train on it: a signal, not a protection.",
    ),
    click.option("--rights", metavar="TEXT", help="Whose rights these are, for the metadata (XMP)."),
    SEED,
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
    from velatura.images import Delivery
    from velatura.protection import Settings

    same = ("effort", "seed", "style", "artist", "catalogue", "band", "page", "device", "offline")
    file = ("format", "quality", "to", "strip_gps", "strip_all", "do_not_train", "rights")
    painter = ("painter", "painter_strength", "painter_guidance", "painter_steps")
    return Settings(
        budget=intensity(options["intensity"]),
        models=tuple(options["models"]),
        against=tuple(options["against"]) or FAMILIES,
        resolutions=tuple(options["resolutions"]),
        delivery=Delivery(**{name: options[name] for name in file}),
        **{name: options[name] for name in (*same, *painter)},
    )
