"""Mimics: the base model made robust, if it is; fine-tuned on an arm's pictures; and what they generate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from velatura.countermeasures.pairs import opened
from velatura.diffusion import pipeline as models
from velatura.errors import InputError
from velatura.evaluation import countering
from velatura.evaluation.arms import Arm
from velatura.evaluation.experiment import Tell
from velatura.evaluation.recipes import Way
from velatura.evaluation.setup import Setup
from velatura.images import read, save, working
from velatura.mimicry import captions, finetune, generate, robust_base
from velatura.mimicry.pictures import to_png

BATCH = 24  # generated at once


def base(setup: Setup, way: Way) -> str:
    """The base model of a way to work: the experiment's, or what robust training made of it."""
    return setup.experiment.model if way.robust_training is None else str(setup.folders.robust_base(way))


def train_robust_base(setup: Setup, way: Way, tell: Tell) -> None:
    """Adapt the base model to cloaked pictures of other artists."""
    assert way.robust_training is not None
    experiment, folder = setup.experiment, setup.folders.robust_base(way)
    pairs = opened(setup.pairs, way.robust_training.resolution)
    if len(pairs) < 2:
        raise InputError(f"{experiment.pairs}: expected two pairs or more that can be read, got {len(pairs)}")
    words = [captions.with_artist(captions.subject(p.clean.stem), p.artist or "an artist") for p in pairs]
    folder.parent.mkdir(parents=True, exist_ok=True)
    robust_base.train(
        models.load(experiment.model, experiment.device),
        experiment.model,
        list(pairs.values()),
        words,
        folder,
        way.robust_training,
        on_step=lambda step: tell(step.done, step.total),
    )


def train(setup: Setup, arm: Arm, way: Way, seed: int, tell: Tell) -> None:
    """Fine-tune a mimic on the arm's pictures."""
    experiment, model = setup.experiment, base(setup, way)
    folder = setup.folders.mimic(arm, way, seed)
    pictures, texts = _trained_on(setup, arm, way)
    folder.parent.mkdir(parents=True, exist_ok=True)
    finetune.train(
        models.load(model, experiment.device),
        model,
        pictures,
        texts,
        experiment.artist,
        folder,
        replace(way.settings, seed=seed),
        on_step=lambda step: tell(step.done, step.total),
    )


def _trained_on(setup: Setup, arm: Arm, way: Way) -> tuple[list[Tensor], list[str]]:
    """The arm's training pictures ``(1, 3, h, w)`` at the mimic's resolution, as in their files, and their captions."""
    files = countering.found(setup, arm)
    if arm.then:
        files = [setup.folders.treated(arm) / name for name in setup.files]
    kept = countering.kept(setup, arm)
    kept = kept[:1] if way.recipe.one else kept
    return [working(read(files[i]), way.settings.resolution) for i in kept], [setup.texts[i] for i in kept]


def samples(setup: Setup, arm: Arm, way: Way, seed: int) -> list[Path]:
    """Files of the generated pictures, one per prompt, which need not be there yet."""
    folder = setup.folders.samples(arm, way, seed)
    return [folder / f"{i:04}.png" for i in range(len(setup.prompts(way)))]


def paint(setup: Setup, arm: Arm, way: Way, seed: int, tell: Tell) -> None:
    """Generate the pictures that are missing: the same prompts and seeds in every arm."""
    paths = samples(setup, arm, way, seed)
    start = next((i for i, path in enumerate(paths) if not path.exists()), len(paths))
    if start == len(paths):
        return
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    tell(start, len(paths))
    for one in _painted(setup, arm, way, seed, start):
        save(to_png(one), paths[one.index])
        tell(one.index + 1, len(paths))


def _painted(setup: Setup, arm: Arm, way: Way, seed: int, start: int) -> Iterator[generate.Made]:
    experiment, side, strength = setup.experiment, way.settings.resolution, way.recipe.strength
    model = base(setup, way) if arm.method == "base" else str(setup.folders.mimic(arm, way, seed))
    mimic = generate.load(model, experiment.device)
    texts = [mimic.words(prompt) for prompt in setup.prompts(way)]
    usual: dict[str, Any] = {
        "seed": 1000 * seed,
        "steps": experiment.sampling_steps,
        "guidance": setup.guidance,
        "start": start,
    }
    if strength is None:
        return generate.generate(mimic.pipeline, texts, resolution=side, batch=BATCH, **usual)
    contents = [x for path in experiment.contents for x in [working(read(path), side)] * experiment.each]
    return generate.restyle(mimic.pipeline, contents, texts, strength=strength, **usual)


def denoise(setup: Setup, arm: Arm, way: Way, seed: int, tell: Tell) -> None:
    """Put what the mimic has generated through the arm's last countermeasure."""
    made = samples(setup, arm.trained_on, way, seed)
    countering.denoise(setup, arm.denoised, made, setup.folders.samples(arm, way, seed), tell)
