"""Seconds a unit of work on this machine, by doing a little of it: for plans that no earlier run tells the cost of."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from velatura.diffusion import pipeline as models
from velatura.errors import Cancelled
from velatura.evaluation.arms import Arm
from velatura.evaluation.cost import Task
from velatura.evaluation.recipes import Way
from velatura.evaluation.setup import Setup
from velatura.mimicry import captions, finetune, generate, robust_base
from velatura.protection import EFFORTS, Protector, Settings

STEPS = 3  # that are timed, after one that warms up
FITTING = 10  # to the file, in gradient steps
JUDGED = 0.15  # seconds to judge a picture: style, copies, fidelity; a guess for the very first run


def calibrate(tasks: Sequence[Task]) -> dict[str, float]:
    """Seconds a unit for the kind of each task; half a minute where the mimic is the miniature."""
    return {task.kind: JUDGED if task.trial is None else task.trial() for task in tasks}


class _Stopwatch:
    """Seconds a step, the first of which does not count; stops the work after a few."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, step: object) -> None:
        self.times.append(time.perf_counter())
        if len(self.times) > STEPS:
            raise Cancelled("enough")

    @property
    def seconds(self) -> float:
        return (self.times[-1] - self.times[0]) / max(1, len(self.times) - 1)


def protecting(setup: Setup, arm: Arm) -> float:
    """Seconds per picture."""
    row = arm.row
    if row is None:
        return 0.1
    own, device = setup.experiment.settings(arm), setup.experiment.device
    settings = Settings(models=own.models, effort=own.effort, resolutions=(setup.resolution,), device=device)
    watch, side = _Stopwatch(), setup.resolution
    picture = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    protector = Protector(settings)
    with suppress(Cancelled):
        protector.cloak(picture.to(protector.device), picture.flip(-1).to(protector.device), watch)
    steps = EFFORTS[own.effort].steps * row.dearer if row.gradients is None else row.gradients
    return watch.seconds * (steps + FITTING)


def treating(setup: Setup, words: str, side: int) -> float:
    """Seconds per picture that goes through the countermeasure of these words."""
    treatment = setup.treatment(words)
    start = time.perf_counter()
    treatment(torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(setup.experiment.device))
    return time.perf_counter() - start


def robust_training(setup: Setup, way: Way) -> float:
    """Seconds per step: one of the encoder and one of the U-Net are two, so the mean of both."""
    assert way.robust_training is not None
    watch, side = _Stopwatch(), way.robust_training.resolution
    picture = torch.full((1, 3, side, side), 0.5)
    pipeline = models.load(setup.experiment.model, setup.experiment.device)
    with suppress(Cancelled):
        for step in robust_base.adapt(
            pipeline.vae, [(picture, picture)], replace(way.robust_training, steps=STEPS + 2)
        ):
            watch(step)
    return (watch.seconds + training(setup, replace(way, settings=way.robust_training))) / 2


def training(setup: Setup, way: Way) -> float:
    """Seconds per step of fine-tuning."""
    watch, side = _Stopwatch(), way.settings.resolution
    pipeline = models.load(setup.experiment.model, setup.experiment.device)
    # Pictures that a prior is made of would cost more than the steps that are timed.
    settings = replace(way.settings, steps=STEPS + 2, prior_weight=0.0)
    with tempfile.TemporaryDirectory() as folder, suppress(Cancelled):
        artist = setup.experiment.artist
        pictures, texts = [torch.full((1, 3, side, side), 0.5)], [captions.with_artist("", artist)]
        place = Path(folder) / "mimic"
        finetune.train(pipeline, setup.experiment.model, pictures, texts, artist, place, settings, on_step=watch)
    return watch.seconds


def generating(setup: Setup, way: Way) -> float:
    """Seconds per picture."""
    experiment, side = setup.experiment, way.settings.resolution
    pipeline = models.load(experiment.model, experiment.device)
    few = 2  # denoising steps that are timed; one batch of as many pictures as memory surely bears
    start = time.perf_counter()
    made = generate.generate(pipeline, setup.prompts(way)[:4], steps=few, guidance=setup.guidance, resolution=side)
    count = len(list(made))
    share = way.recipe.strength if way.recipe.strength is not None else 1.0
    return (time.perf_counter() - start) / count * experiment.sampling_steps * share / few
