"""``velatura lab judge``: whose style are the pictures of a folder?"""

from __future__ import annotations

import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from velatura.cli.files import opened, pictures
from velatura.cli.options import DEVICE
from velatura.errors import Cancelled, InputError

if TYPE_CHECKING:
    from torch import Tensor

    from velatura.judges import Copies

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
NAMED = 5  # styles to list


@click.command("judge", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=FOLDER)
@click.option(
    "--artist",
    "artists",
    type=FOLDER,
    multiple=True,
    required=True,
    help="Folder of an artist's pictures, named after the artist: at least 8, other ones than the mimic's. Repeatable.",
)
@click.option("--training", type=FOLDER, help="Folder of the mimic's training pictures: also count copies of them.")
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, with a row a picture.")
def judge_command(folder: Path, artists: tuple[Path, ...], training: Path | None, device: str, as_json: bool) -> None:
    """Whose style are the pictures in FOLDER? How many of them are placed in the style of each --artist?

    The judge compares with the embedded artists and with the given ones; an artist of an embedded artist's name takes
    its place. It sees pictures at 128 px, through the miniature's autoencoder. Pictures that cannot be read are left
    out. Needs the extra velatura[lab].
    """
    try:
        found = _judged(folder, artists, training, device)
    except KeyboardInterrupt:
        raise Cancelled("cancelled") from None
    if as_json:
        from velatura.reports.result import to_json

        click.echo(to_json(found, ascii=True), nl=False)
    else:
        _show(found)


def _judged(folder: Path, artists: tuple[Path, ...], training: Path | None, device: str) -> dict[str, Any]:
    import torch

    from velatura.diffusion.device import pick_device
    from velatura.images.formats import READ
    from velatura.judges import fit
    from velatura.judges.style import ranks, require_sklearn

    require_sklearn()
    names = [path.resolve().name for path in artists]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"--artist: expected folders of different names, got {twice[0]} twice")
    device = pick_device(device)
    victims = {name: _opened(path, f"reading {name}") for name, path in zip(names, artists, strict=True)}
    made = _opened(folder, "reading")
    if not made:
        raise InputError(f"{folder}: expected pictures to judge ({READ}), found none that can be read")
    with _bar(sum(map(len, victims.values())), "learning") as bar:
        samples = {name: list(found.values()) for name, found in victims.items()}
        judge = fit(samples, device=device, on_picture=lambda done, total: bar.update(1))
    with _bar(len(made), "judging") as bar:
        rows = []
        for picture in made.values():
            rows.append(judge.probabilities([picture]))
            bar.update(1)
    likely = torch.cat(rows)
    places = {name: ranks(likely, judge.index(name)).tolist() for name in names}
    first = [judge.classes[i] for i in likely.argmax(1).tolist()]
    known = _digests(path for found in victims.values() for path in found)
    return {
        "folder": str(folder),
        "pictures": len(made),
        "classes": judge.classes,
        "artists": {name: {"pictures": len(victims[name]), **_shares(places[name])} for name in names},
        "named": dict(Counter(first).most_common()),
        "learned_from": len(_digests(made) & known),
        "copies": _copies(made, training, device) if training else None,
        "files": [
            {
                "file": str(path),
                "named": first[i],
                "probability": float(likely[i].max()),
                "ranks": {name: places[name][i] for name in names},
            }
            for i, path in enumerate(made)
        ],
    }


def _shares(places: list[int]) -> dict[str, Any]:
    n = len(places)
    return {f"top{most}": _share(sum(place <= most for place in places), n) for most in (1, 3)}


def _share(count: int, n: int) -> dict[str, Any]:
    from velatura.reports.statistics import wilson

    low, high = wilson(count, n)
    return {"count": count, "n": n, "value": count / n, "low": low, "high": high}


def _copies(made: dict[Path, Tensor], training: Path, device: str) -> dict[str, Any]:
    from velatura.judges import copy_rate

    originals = _opened(training, "reading training")
    if not originals:
        raise InputError(f"{training}: expected the mimic's training pictures, found none that can be read")
    found: Copies = copy_rate(list(made.values()), list(originals.values()), device=device)
    paths = list(originals)
    nearest = sorted(zip(found.distances.tolist(), made, found.nearest.tolist(), strict=True))
    return {
        **_share(found.copied, len(made)),
        "threshold": found.threshold,
        "nearest": [{"file": str(file), "training": str(paths[i]), "distance": d} for d, file, i in nearest],
    }


def _opened(folder: Path, doing: str) -> dict[Path, Tensor]:
    """The pictures of a folder and its sub-folders, at 128 px; one line for each that cannot be read."""
    from velatura.judges.views import SIDE

    paths = pictures([folder])
    with _bar(len(paths), doing) as bar:

        def on_picture(path: Path, reason: str | None) -> None:
            if reason is not None:
                tqdm.write(f"left out: {reason}", file=sys.stderr)
            bar.update(1)

        return opened(paths, SIDE, on_picture=on_picture)


def _digests(paths: Any) -> set[bytes]:
    return {sha256(path.read_bytes()).digest() for path in paths}


def _bar(total: int, doing: str) -> Any:
    off = not sys.stderr.isatty()
    return tqdm(total=total, desc=doing, unit="picture", disable=off, dynamic_ncols=True, leave=False)


def _show(found: dict[str, Any]) -> None:
    click.echo(f"{found['pictures']} pictures of {found['folder']}, judged among {len(found['classes'])} artists")
    for name, shares in found["artists"].items():
        click.echo(f"{name} (learned from {shares['pictures']} pictures)")
        click.echo(f"  named first:                 {_words(shares['top1'])}")
        click.echo(f"  among the first three named: {_words(shares['top3'])}")
    most = list(found["named"].items())[:NAMED]
    click.echo("named most often: " + ", ".join(f"{name} {count}" for name, count in most))
    if copies := found["copies"]:
        click.echo(f"copies of training pictures: {_words(copies)}")
        for pair in copies["nearest"][: max(1, min(NAMED, copies["count"]))]:
            names = Path(pair["file"]).name, Path(pair["training"]).name
            click.echo(
                f"  {names[0]} is nearest to {names[1]}, {pair['distance']:.3f} (limit {copies['threshold']:.3f})"
            )
    if found["learned_from"]:
        click.echo(
            f"note: {found['learned_from']} of the pictures are also in an --artist folder: the judge knows them",
            err=True,
        )


def _words(share: dict[str, Any]) -> str:
    numbers = f"{share['value']:.0%}, {share['low']:.0%} to {share['high']:.0%}"
    return f"{share['count']} of {share['n']} ({numbers})"
