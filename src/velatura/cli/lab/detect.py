"""``velatura lab detect``: could a mimic find the cloaked pictures and leave them out?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from velatura.cli.files import pictures
from velatura.cli.options import DEVICE
from velatura.errors import Cancelled, InputError, VelaturaError

if TYPE_CHECKING:
    from velatura.countermeasures.detect import Features

FOLDER = click.Path(path_type=Path, exists=True)


@click.command("detect", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("suspects", nargs=-1, required=True, type=FOLDER)
@click.option("--clean", multiple=True, required=True, type=FOLDER, help="Clean pictures to learn from. Repeatable.")
@click.option(
    "--cloaked", multiple=True, type=FOLDER, help="Cloaked pictures of other artists, for the trained detector."
)
@click.option(
    "--against", multiple=True, type=FOLDER, help="Other clean pictures, to say how well both are told apart."
)
@click.option("--model", default="mini", show_default=True, help="Whose autoencoder looks: a name, hub id or folder.")
@click.option(
    "-r", "--resolution", default=512, show_default=True, type=click.IntRange(32), help="Short side (px) to look at."
)
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, with every score.")
def detect_command(
    suspects: tuple[Path, ...],
    clean: tuple[Path, ...],
    cloaked: tuple[Path, ...],
    against: tuple[Path, ...],
    model: str,
    resolution: int,
    device: str,
    as_json: bool,
) -> None:
    """How suspicious are the pictures in SUSPECTS to detectors that know only clean ones?

    For each detector: the share of suspects that look stranger than nine in ten clean pictures do (--against if given;
    else those that it learned from, which flatters it), and with --against the area under the ROC curve with its 95 %
    interval: 0.5 is guessing, 1 is no mistake.
    """
    from velatura.countermeasures.detect import DETECTORS, scores
    from velatura.diffusion import extractors
    from velatura.diffusion.device import pick_device
    from velatura.reports.result import to_json
    from velatura.reports.statistics import auc

    extractor = extractors.load(model, pick_device(device))
    groups = {"suspects": suspects, "clean": clean, "cloaked": cloaked, "against": against}
    try:
        found = {name: _features(paths, resolution, extractor, name) for name, paths in groups.items() if paths}
    except KeyboardInterrupt:
        raise Cancelled("cancelled") from None
    rows: list[dict[str, Any]] = []
    for name, detector in DETECTORS.items():
        if detector.trained and not cloaked:
            continue
        given = [found[part][1] for part in ("clean", "cloaked") if part in found]
        strange = scores(name, found["suspects"][1], *given).tolist()
        usual = scores(name, found["against" if against else "clean"][1], *given).tolist()
        limit = sorted(usual)[int(0.9 * (len(usual) - 1))]
        row = {"detector": name, "about": detector.about, "flagged": sum(s > limit for s in strange) / len(strange)}
        if against:
            row |= dict(zip(("auc", "low", "high"), auc(strange, usual), strict=True))
        rows.append(row | {"scores": dict(zip(map(str, found["suspects"][0]), strange, strict=True))})
    if as_json:
        counts = {name: len(paths) for name, (paths, _) in found.items()}
        tree = {"model": model, "resolution": resolution, "pictures": counts, "detectors": rows}
        click.echo(to_json(tree, ascii=True), nl=False)
        return
    for row in rows:
        area = f"  AUC {row['auc']:.2f} ({row['low']:.2f} to {row['high']:.2f})" if against else ""
        click.echo(f"{row['detector']:15} flagged {row['flagged']:4.0%}{area}  {row['about']}")


def _features(paths: tuple[Path, ...], side: int, extractor: Any, what: str) -> tuple[list[Path], Features]:
    """Files and their features; a line for each that cannot be read."""
    from velatura.countermeasures.detect import features
    from velatura.images import read, working

    kept: list[Path] = []

    def opened() -> Iterator[Any]:
        for path in tqdm(pictures(paths), what, disable=not sys.stderr.isatty(), leave=False):
            try:
                picture = working(read(path), side)
            except (VelaturaError, OSError) as error:
                click.echo(f"left out: {error}", err=True)
            else:
                kept.append(path)
                yield picture

    one_by_one = opened()
    if (first := next(one_by_one, None)) is None:
        raise InputError(f"{what}: expected pictures (PNG, JPEG, WebP or TIFF), found none that can be read")
    found = features(chain([first], one_by_one), extractor)
    return kept, found
