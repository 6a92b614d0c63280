"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from velatura.cli.groups import GroupedOption
from velatura.weights import FAMILIES

if TYPE_CHECKING:
    from velatura.protection import Settings


Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)


def grouped(group: str, *names: str, **attrs: Any) -> Callable[[Decorated], Decorated]:
    """A ``click.option`` that help lists in one of its ``OPTION_GROUPS``."""
    return click.option(*names, cls=GroupedOption, group=group, **attrs)


EFFORT_NAMES = ["fast", "default", "max", "paper"]

# Larger ones would overflow where each step of a training draws from a stream of its own.
SEED = grouped(
    "expert",
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="The same seed makes the same result.",
)
UPSCALER = click.option(
    "--upscaler", help="A diffusion upscaler (hub id or folder) for 'upscale'; else the mimic's model repaints."
)
DEVICE = grouped(
    "model",
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

DATABASE = grouped(
    "expert",
    "--database",
    envvar="VELATURA_DATABASE",
    help="Database of the jobs: sqlite:///FILE or postgresql://HOST/NAME; by default a file in the user's data folder.",
)

_SETTINGS = [
    grouped(
        "usual",
        "-i",
        "--intensity",
        default="default",
        show_default=True,
        help="How visible the cloak may be: low, default, high or an LPIPS budget (0.05, 0.1, 0.2); 0: a copy without.",
    ),
    grouped(
        "usual",
        "-e",
        "--effort",
        type=click.Choice(EFFORT_NAMES),
        default="default",
        show_default=True,
        help="How long to optimise; paper is the published recipe: 500 steps, LPIPS alone.",
    ),
    grouped(
        "file",
        "-f",
        "--format",
        type=click.Choice(["png", "jpeg", "webp", "tiff", "avif"]),
        help="Write this kind of file instead of the source's own.",
    ),
    grouped(
        "file",
        "--quality",
        type=click.IntRange(1, 100),
        help="Of JPEG, WebP and AVIF; by default the source's, at least 90, below which much of a cloak is lost.",
    ),
    grouped(
        "file",
        "--deliver",
        "to",
        metavar="PLATFORM|WIDTH",
        help="Make it smaller first, for instagram, x, bluesky, artstation or to a width in pixels; cloak last.",
    ),
    grouped("file", "--page", type=click.IntRange(1), help="Which page of files that hold several, counted from 1."),
    grouped("file", "--strip-gps", is_flag=True, help="Leave out where it was made, in numbers or by name."),
    grouped("file", "--strip-all", is_flag=True, help="Leave out all metadata but the colour profile."),
    grouped(
        "file",
        "--do-not-train",
        is_flag=True,
        help="Say in the metadata (XMP) that generative models may not train on it: a signal, not a protection.",
    ),
    grouped("file", "--rights", metavar="TEXT", help="Whose rights these are, for the metadata (XMP)."),
    grouped("style", "--style", help="Target style by name instead of a drawn one (velatura styles list)."),
    grouped(
        "style",
        "--artist",
        help="Keep one target style, drawn or named, for all of this artist's pictures, now and later.",
    ),
    grouped(
        "style",
        "--catalogue",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Draw the style from this catalogue (velatura styles build).",
    ),
    grouped(
        "model",
        "-m",
        "--model",
        "models",
        multiple=True,
        default=("auto",),
        show_default=True,
        help="Model to cloak against: a name (velatura models list), hub id or folder. Repeat for an ensemble.",
    ),
    grouped(
        "model",
        "--against",
        multiple=True,
        type=click.Choice(FAMILIES),
        help="Model family to cloak against; repeat for several, all by default.",
    ),
    grouped(
        "model",
        "-r",
        "--resolution",
        "resolutions",
        multiple=True,
        type=int,
        help="Short side (px) at which mimics train, 512 or the model's own by default. Repeat for several.",
    ),
    DEVICE,
    grouped("model", "--offline/--online", default=True, show_default=True, help="Use only what is on this machine."),
    SEED,
    grouped(
        "expert",
        "--band",
        nargs=2,
        type=float,
        help="Draw the target style as Glaze does, between two percentiles of distance (it has 50 75).",
    ),
    grouped("expert", "--painter", help="Paint the target with this diffusion model (hub id or folder) instead."),
    grouped("expert", "--painter-strength", default=0.5, show_default=True, help="How much it changes, 0 to 1."),
    grouped("expert", "--painter-guidance", default=7.5, show_default=True, help="The painter's guidance scale."),
    grouped("expert", "--painter-steps", default=30, show_default=True, help="The painter's denoising steps."),
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
