"""Seconds a unit of work on this machine, by doing a little of it: for plans that no earlier run tells the cost of."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from velatura.diffusion import pipeline as models
from velatura.errors import Cancelled
from velatura.evaluation.arms import Arm
from velatura.evaluation.cost import Task
from velatura.evaluation.protocol import Setup
from velatura.evaluation.recipes import Way
from velatura.mimicry import captions, finetune, generate, robust_base
from velatura.protect import EFFORTS, Protector, Settings

STEPS = 3  # that are timed, after one that warms up
# Of a picture, in gradient steps through an encoder: methods that do not follow the effort; a U-Net's count for three.
GRADIENTS = {
    **{"noise": 0, "instant": 1, "application": 360, "photoguard": 450, "styleguard": 450},
    **{"advdm": 900, "mist": 900, "aspl": 2000},
}  # fmt: skip
# Times as long as a step through the encoder: there and back, and so for each transformation.
DEARER = {"blend": 3, "decoded": 3, "hardened": 9, "veil": 3}
FITTING = 10  # to the file
JUDGED = 0.15  # seconds to judge a picture: style, copies, fidelity; a guess for the very first run


def calibrate(setup: Setup, tasks: Sequence[Task]) -> dict[str, float]:
    """Seconds a unit for the kind of each task; half a minute where the mimic is the miniature."""
    measures: dict[str, Callable[[Setup, Any], float]] = {
        "protecting": _protecting, "treating": _treating, "denoising": _treating, "hardening": _hardening,
        "fine-tuning": _training, "generating": _generating,
    }  # fmt: skip
    rates = {}
    for task in tasks:
        measure = measures.get(task.what.partition(":")[0])
        rates[task.kind] = JUDGED if measure is None else measure(setup, task.about)
    return rates


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


def _protecting(setup: Setup, arm: Arm) -> float:
    if arm.folder is not None:
        return 0.1
    settings = Settings(
        models=setup.extractors(arm), effort=setup.effort(arm), resolutions=(setup.resolution,),
        device=setup.protocol.device,
    )  # fmt: skip
    watch, side = _Stopwatch(), setup.resolution
    picture = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    protector = Protector(settings)
    with suppress(Cancelled):
        protector.cloak(picture.to(protector.device), picture.flip(-1).to(protector.device), watch)
    steps = EFFORTS[setup.effort(arm)].steps * DEARER.get(arm.method, 1)
    return watch.seconds * (GRADIENTS.get(arm.method, steps) + FITTING)


def _treating(setup: Setup, about: tuple[str, int]) -> float:
    words, side = about
    attack = setup.attack(words)
    start = time.perf_counter()
    attack(torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(setup.protocol.device))
    return time.perf_counter() - start


def _hardening(setup: Setup, way: Way) -> float:
    """A step of the encoder and one of the U-Net are two: the mean of both."""
    assert way.hardening is not None
    watch, side = _Stopwatch(), way.hardening.resolution
    picture = torch.full((1, 3, side, side), 0.5)
    pipeline = models.load(setup.protocol.model, setup.protocol.device)
    with suppress(Cancelled):
        for step in robust_base.adapt(pipeline.vae, [(picture, picture)], replace(way.hardening, steps=STEPS + 2)):
            watch(step)
    return (watch.seconds + _training(setup, replace(way, settings=way.hardening))) / 2


def _training(setup: Setup, way: Way) -> float:
    watch, side = _Stopwatch(), way.settings.resolution
    pipeline = models.load(setup.protocol.model, setup.protocol.device)
    # Pictures that a prior is made of would cost more than the steps that are timed.
    settings = replace(way.settings, steps=STEPS + 2, prior_weight=0.0)
    with tempfile.TemporaryDirectory() as folder, suppress(Cancelled):
        finetune.train(
            pipeline, setup.protocol.model, [torch.full((1, 3, side, side), 0.5)],
            [captions.with_artist("", setup.protocol.artist)], setup.protocol.artist, Path(folder) / "mimic",
            settings, on_step=watch,
        )  # fmt: skip
    return watch.seconds


def _generating(setup: Setup, way: Way) -> float:
    p, side = setup.protocol, way.settings.resolution
    pipeline = models.load(p.model, p.device)
    few = 2  # denoising steps that are timed; one batch of as many pictures as memory surely bears
    start = time.perf_counter()
    count = len(
        list(generate.generate(pipeline, setup.prompts(way)[:4], steps=few, guidance=setup.guidance, resolution=side))
    )
    share = way.recipe.strength if way.recipe.strength is not None else 1.0
    return (time.perf_counter() - start) / count * p.sampling_steps * share / few
