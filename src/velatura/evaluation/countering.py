"""What the mimic does about cloaks: leave out what a detector finds, treat pictures before training and after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from velatura.countermeasures import detect
from velatura.diffusion import extractors
from velatura.evaluation.arms import PLAIN, Arm
from velatura.evaluation.experiment import Tell
from velatura.evaluation.protecting import changed
from velatura.evaluation.setup import FEWEST_TO_TRAIN, Setup
from velatura.images import read, save, working
from velatura.protection.panels import png
from velatura.reports.result import to_json


def found(setup: Setup, arm: Arm) -> list[Path]:
    """What the mimic finds: protected files, and originals where the arm has a share of them only."""
    count = _protected(setup, arm)
    folder = setup.folders.protected(arm) if count else None
    return [
        folder / name if folder is not None and i < count else path
        for i, (path, name) in enumerate(zip(setup.training, setup.files, strict=True))
    ]


def _protected(setup: Setup, arm: Arm) -> int:
    """How many of the pictures are: the first ones of a shuffled list."""
    return 0 if arm.method in PLAIN else round(arm.share * len(setup.training))


def sift(setup: Setup, arm: Arm, tell: Tell) -> None:
    """Let a detector judge what the mimic finds.

    If it suspects too many, the least suspicious ones are kept that fine-tuning needs.
    """
    file, count = setup.folders.sifted(arm), len(setup.training)
    units = count + 2 * len(setup.pairs)
    tell(0, units)
    eye = extractors.load(setup.experiment.model, setup.experiment.device)
    pictures = [working(read(path), setup.resolution) for path in found(setup, arm)]
    suspects = detect.features(pictures, eye)
    scores, bar = detect.judged(arm.dropping, suspects, *setup.others)
    ranked = sorted(range(count), key=lambda i: float(scores[i]))
    kept = [i for place, i in enumerate(ranked) if place < FEWEST_TO_TRAIN or scores[i] <= bar]
    tree = {"kept": sorted(kept), "scores": scores.tolist(), "bar": bar}
    file.parent.mkdir(parents=True, exist_ok=True)
    save(to_json(tree).encode(), file)
    tell(units, units)


def kept(setup: Setup, arm: Arm) -> list[int]:
    """Indices of the pictures that the mimic trains on: of all, or of those that a detector left."""
    if not arm.dropping:
        return list(range(len(setup.training)))
    left: list[int] = json.loads(setup.folders.sifted(arm).read_text(encoding="utf-8"))["kept"]
    return left


def counts(setup: Setup, arm: Arm) -> dict[str, tuple[int, int]]:
    """``dropped_protected`` and ``dropped_clean``: how many were left out, of how many such pictures."""
    left, first, whole = kept(setup, arm), _protected(setup, arm), len(setup.training)
    dropped = [i for i in range(whole) if i not in left]
    hits = sum(i < first for i in dropped)
    parts = {"dropped_protected": (hits, first), "dropped_clean": (len(dropped) - hits, whole - first)}
    return {name: part for name, part in parts.items() if part[1]}


def treat(setup: Setup, arm: Arm, tell: Tell) -> None:
    """Put the mimic's pictures through the arm's countermeasure; figures of them are beside the clean originals."""
    folder, treatment, figures = setup.folders.treated(arm), setup.treatment(arm.then), []
    tell(0, len(setup.training))
    folder.mkdir(parents=True, exist_ok=True)
    todo = zip(setup.training, found(setup, arm), setup.files, strict=True)
    for i, (path, file, name) in enumerate(todo):
        original, given = (working(read(one), setup.side).to(setup.experiment.device) for one in (path, file))
        made = treatment(given, shift=i).cpu()
        original = (treatment(original, shift=i) if treatment.moves else original).cpu()
        save(png(made), folder / name)
        if original.shape == made.shape:  # what was protected elsewhere may have been cut
            figures.append(changed(original, made))
        tell(i + 1, len(setup.training))
    save(to_json({"figures": figures}).encode(), folder / "figures.json")


def treated_figures(setup: Setup, arm: Arm) -> list[dict[str, Any]]:
    """Figures of what :func:`treat` made."""
    card = setup.folders.treated(arm) / "figures.json"
    figures: list[dict[str, Any]] = json.loads(card.read_text(encoding="utf-8"))["figures"]
    return figures


def denoise(setup: Setup, words: str, made: Sequence[Path], folder: Path, tell: Tell) -> None:
    """Put generated pictures through a countermeasure: what the mimic shows of them."""
    folder.mkdir(parents=True, exist_ok=True)
    treatment = setup.treatment(words)
    tell(0, len(made))
    for i, source in enumerate(made):
        path = folder / source.name
        if not path.exists():
            artwork = read(source)
            picture = working(artwork, min(artwork.width, artwork.height))
            save(png(treatment(picture.to(setup.experiment.device), shift=i).cpu()), path)
        tell(i + 1, len(made))
