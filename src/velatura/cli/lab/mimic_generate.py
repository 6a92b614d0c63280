"""``velatura lab mimic generate`` and ``img2img``: pictures by a mimic, kept in a folder with the plan of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velatura.cli import progress
from velatura.cli.files import CARD, SHEET, opened_at, pictures
from velatura.cli.options import DEVICE, SEED
from velatura.errors import Cancelled, InputError

if TYPE_CHECKING:
    from velatura.mimicry.generate import Made, Mimic

OUTPUT = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the pictures."
)
SAMPLING = (
    click.option("--steps", default=30, show_default=True, type=click.IntRange(1), help="Denoising steps."),
    click.option("--guidance", type=click.FloatRange(0), help="Guidance scale; else 7.5, and 1.5 for small models."),
    click.option("--artist", help="Whose style to ask for; else the artist that the model was fine-tuned on."),
)


def sampling(command: Any) -> Any:
    for option in reversed(SAMPLING):
        command = option(command)
    return command


@click.command("generate")
@click.argument("model")
@OUTPUT
@click.option(
    "--prompts",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A prompt a line; else 24 usual subjects.",
)
@click.option("-n", "count", default=4, show_default=True, type=click.IntRange(1), help="Pictures for each prompt.")
@click.option("--resolution", type=click.IntRange(8), help="Side in pixels; else the model's own.")
@click.option("--batch", default=16, show_default=True, type=click.IntRange(1), help="Pictures at a time.")
@sampling
@SEED
@DEVICE
def generate_command(
    model: str,
    output: Path,
    prompts: Path | None,
    count: int,
    resolution: int | None,
    batch: int,
    steps: int,
    guidance: float | None,
    artist: str | None,
    seed: int,
    device: str,
) -> None:
    """Generate pictures with MODEL: what `lab mimic train` wrote, or a base model (mini, sd15, a hub id, a folder).

    "by ARTIST" is added to prompts that do not name the artist. A stopped run continues with the same command.
    """
    from velatura.diffusion import pipeline as models
    from velatura.diffusion.device import pick_device
    from velatura.mimicry import generate

    mimic = generate.load(model, pick_device(device))
    lines = generate.SUBJECTS if prompts is None else _lines(prompts)
    texts = [_prompt(mimic, line, artist) for line in lines for _ in range(count)]
    models.side(mimic.pipeline, resolution)  # refuses
    plan = {
        **_of(model, mimic),
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "resolution": resolution,
        "prompts": texts,
    }
    start = _start(output, plan)
    made = generate.generate(
        mimic.pipeline,
        texts,
        seed=seed,
        steps=steps,
        guidance=guidance,
        resolution=resolution,
        batch=batch,
        start=start,
    )
    _keep(made, output, len(texts), start)


@click.command("img2img")
@click.argument("model")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@OUTPUT
@click.option("--prompt", default="a picture", show_default=True, help="What to paint.")
@click.option(
    "--strength",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="How far from the picture, 0 to 1.",
)
@click.option("--resolution", type=click.IntRange(8), help="Short side in pixels; else the model's own.")
@sampling
@SEED
@DEVICE
def img2img_command(
    model: str,
    files: tuple[Path, ...],
    output: Path,
    prompt: str,
    strength: float,
    resolution: int | None,
    steps: int,
    guidance: float | None,
    artist: str | None,
    seed: int,
    device: str,
) -> None:
    """Repaint FILES (pictures or folders) with MODEL: the second way that mimics work."""
    from velatura.diffusion import pipeline as models
    from velatura.diffusion.device import pick_device
    from velatura.mimicry import generate

    mimic = generate.load(model, pick_device(device))
    side = models.side(mimic.pipeline, resolution)
    paths, tensors = opened_at(pictures(files), side)
    texts = [_prompt(mimic, prompt, artist)] * len(tensors)
    plan = {
        **_of(model, mimic),
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "resolution": side,
        "strength": strength,
        "files": [str(path) for path in paths],
        "prompts": texts,
    }
    start = _start(output, plan)
    made = generate.restyle(
        mimic.pipeline, tensors, texts, seed=seed, steps=steps, guidance=guidance, strength=strength, start=start
    )
    _keep(made, output, len(texts), start)


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InputError(f"{path}: expected a prompt a line, found none")
    return found


def _prompt(mimic: Mimic, line: str, artist: str | None) -> str:
    from velatura.mimicry.captions import named, with_artist

    name = artist or mimic.artist
    return mimic.words(line if not name or named(line, name) else with_artist(line, name))


def _of(model: str, mimic: Mimic) -> dict[str, Any]:
    """The model of a plan: its name, and what it was fine-tuned on, since a folder may be made anew."""
    return {"model": model, "fingerprint": None if mimic.card is None else mimic.card.get("fingerprint")}


def _start(output: Path, plan: dict[str, Any]) -> int:
    """How many pictures of the same plan are there already; a folder of another plan is refused."""
    from velatura.images import save
    from velatura.reports.result import to_json

    output.mkdir(parents=True, exist_ok=True)
    card, text = output / CARD, to_json({**plan, "velatura": "mimic"})
    if card.exists():
        try:
            same = json.loads(card.read_text(encoding="utf-8")) == json.loads(text)
        except ValueError:
            raise InputError(f"{card}: damaged; choose another folder with -o, or delete it") from None
        if not same:
            raise InputError(f"{output} holds pictures of other settings: choose another folder, or delete it")
    else:  # without a card, what has our names is somebody else's
        places = [output / name for name in (*map(_name, range(len(plan["prompts"]))), SHEET)]
        if foreign := next((path for path in places if path.exists()), None):
            raise InputError(f"{foreign}: exists and is not from here: choose another folder with -o")
        save(text.encode(), card)
    start = 0
    while (output / _name(start)).exists():
        start += 1
    return min(start, len(plan["prompts"]))


def _name(index: int) -> str:
    return f"{index:04}.png"


def _keep(made: Iterator[Made], output: Path, total: int, start: int) -> None:
    """Write each picture as it comes, and at the end a sheet of some of them."""
    from velatura.images import save
    from velatura.mimicry.pictures import contact_sheet, to_png

    done = start
    with progress.bar(total, "picture", start) as bar:
        try:
            for one in made:
                save(to_png(one), output / _name(one.index))
                done += 1
                bar.update()
        except KeyboardInterrupt:
            raise Cancelled(f"cancelled: {done} of {total} made; the same command continues") from None
    save(contact_sheet([output / _name(i) for i in range(total)]), output / SHEET)
    click.echo(output)
