"""What the mimic does about cloaks: leave out what a detector finds, treat pictures before training and after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from velatura.countermeasures import detect
from velatura.countermeasures.pairs import opened
from velatura.diffusion import extractors
from velatura.diffusion import pipeline as models
from velatura.errors import InputError
from velatura.evaluation.arms import PLAIN, Arm, changed
from velatura.evaluation.protocol import FEWEST_TO_TRAIN, Say, Setup, whole_set
from velatura.evaluation.recipes import Way
from velatura.evaluation.schedule import hardening_of
from velatura.images import read, save, working
from velatura.mimicry import captions, robust_base
from velatura.protect.panels import png
from velatura.reports.result import to_json


def found(setup: Setup, arm: Arm) -> list[Path]:
    """What the mimic finds: protected files, and originals where the arm has a share of them only."""
    count = _protected(setup, arm)
    folder = setup.protected(arm) if count else None
    return [
        folder / name if folder is not None and i < count else path
        for i, (path, name) in enumerate(zip(setup.training, setup.files, strict=True))
    ]


def _protected(setup: Setup, arm: Arm) -> int:
    """How many of the pictures are: the first ones of a shuffled list."""
    return 0 if arm.method in PLAIN else round(arm.share * len(setup.training))


def sift(setup: Setup, arm: Arm, say: Say) -> tuple[list[int], list[int]]:
    """Indices of the pictures that the mimic keeps, and of those that it leaves out.

    If a detector suspects too many, the least suspicious ones are kept that fine-tuning needs.
    """
    file = setup.sifted(arm)
    count = len(setup.training)
    if not file.exists():
        doing, units = f"sifting: {file.stem}", count + 2 * len(setup.pairs)
        say(doing, 0, units)
        eye = extractors.load(setup.protocol.model, setup.protocol.device)
        pictures = [working(read(path), setup.resolution) for path in found(setup, arm)]
        suspects = detect.features(pictures, eye)
        scores, bar = detect.judged(arm.dropping, suspects, *setup.others)
        ranked = sorted(range(count), key=lambda i: float(scores[i]))
        kept = [i for place, i in enumerate(ranked) if place < FEWEST_TO_TRAIN or scores[i] <= bar]
        tree = {"kept": sorted(kept), "scores": scores.tolist(), "bar": bar}
        file.parent.mkdir(parents=True, exist_ok=True)
        save(to_json(tree).encode(), file)
        say(doing, units, units)
    left = json.loads(file.read_text(encoding="utf-8"))["kept"]
    return left, [i for i in range(count) if i not in left]


def counts(setup: Setup, arm: Arm, dropped: Sequence[int]) -> dict[str, tuple[int, int]]:
    """``dropped_protected`` and ``dropped_clean``: how many were left out, of how many such pictures."""
    first = _protected(setup, arm)
    hits = sum(i < first for i in dropped)
    parts = {"dropped_protected": (hits, first)}
    parts["dropped_clean"] = (len(dropped) - hits, len(setup.training) - first)
    return {name: part for name, part in parts.items() if part[1]}


def treat(setup: Setup, arm: Arm, say: Say) -> list[dict[str, Any]]:
    """Figures of what the countermeasure made of the mimic's pictures, beside the clean originals; made if need be."""
    folder = setup.treated(arm)
    card = folder / "figures.json"
    if not card.exists():
        attack, figures, doing = setup.attack(arm.then), [], f"treating: {whole_set(arm).key}"
        say(doing, 0, len(setup.training))
        folder.mkdir(parents=True, exist_ok=True)
        todo = zip(setup.training, found(setup, arm), setup.files, strict=True)
        for i, (path, file, name) in enumerate(todo):
            original, given = (working(read(one), setup.side).to(setup.protocol.device) for one in (path, file))
            made = attack(given, shift=i).cpu()
            original = (attack(original, shift=i) if attack.moves else original).cpu()
            save(png(made), folder / name)
            if original.shape == made.shape:  # what was protected elsewhere may have been cut
                figures.append(changed(original, made))
            say(doing, i + 1, len(setup.training))
        save(to_json({"figures": figures}).encode(), card)
    kept: list[dict[str, Any]] = json.loads(card.read_text(encoding="utf-8"))["figures"]
    return kept


def denoise(setup: Setup, words: str, made: Sequence[Path], folder: Path, doing: str, say: Say) -> list[Path]:
    """Generated pictures after a countermeasure: what the mimic shows of them."""
    folder.mkdir(parents=True, exist_ok=True)
    attack = setup.attack(words)
    paths = [folder / path.name for path in made]
    say(doing, 0, len(made))
    for i, (path, source) in enumerate(zip(paths, made, strict=True)):
        if not path.exists():
            artwork = read(source)
            picture = working(artwork, min(artwork.width, artwork.height))
            save(png(attack(picture.to(setup.protocol.device), shift=i).cpu()), path)
        say(doing, i + 1, len(made))
    return paths


def base(setup: Setup, way: Way, say: Say) -> str:
    """The base model of a way to work: the protocol's, or what robust training made of it."""
    model = setup.protocol.model
    if way.hardening is None:
        return model
    folder, doing = setup.hardened(way), hardening_of(way)
    if not folder.exists():
        pairs = opened(setup.pairs, way.hardening.resolution)
        if len(pairs) < 2:
            raise InputError(f"{setup.protocol.pairs}: expected two pairs or more that can be read, got {len(pairs)}")
        words = [captions.with_artist(captions.subject(p.clean.stem), p.artist or "an artist") for p in pairs]
        folder.parent.mkdir(parents=True, exist_ok=True)
        robust_base.train(
            models.load(model, setup.protocol.device), model, list(pairs.values()), words, folder,
            way.hardening, on_step=lambda step: say(doing, step.done, step.total),
        )  # fmt: skip
    return str(folder)
