"""A plan in parts that can be done apart, on several machines that see the same folder.

Everything is cached there by content (``protocol.Setup``), so a part is done when its folder is there, and the last
part finds all others done: it judges, and writes the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from velatura.evaluation import experiment, measures
from velatura.evaluation.arms import PLAIN, Arm
from velatura.evaluation.protocol import Say, Setup, untreated, whole_set
from velatura.evaluation.recipes import Way
from velatura.evaluation.schedule import hardening_of, named, training_of


@dataclass(frozen=True)
class Part:
    """``what``: as progress calls it; ``after``: numbers of the parts that must be done before."""

    what: str
    after: tuple[int, ...]
    do: Callable[[Say], object] = field(repr=False, compare=False)


def parts(setup: Setup) -> list[Part]:
    """The parts of a plan, numbered from 0; each comes after those that it needs. The last one is the result."""
    plan = _Plan()
    for arm in setup.protocol.arms:
        before = _given(plan, setup, arm)
        if arm.method == "real":
            continue
        for way in setup.ways:
            for seed in setup.protocol.seeds:
                _made(plan, setup, arm, way, seed, before)
    plan.add("judging", list(range(len(plan.parts))), partial(experiment.carry_out, setup))
    return plan.parts


class _Plan:
    """Parts by name, so that what several arms share is done once."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.painted: dict[Path, int] = {}  # by folder: the base model paints the same whatever a mimic trains
        self._numbers: dict[str, int] = {}

    def add(self, what: str, after: list[int], do: Callable[[Say], object]) -> int:
        if what not in self._numbers:
            self._numbers[what] = len(self.parts)
            self.parts.append(Part(what, tuple(sorted(set(after))), do))
        return self._numbers[what]


def _given(plan: _Plan, setup: Setup, arm: Arm) -> list[int]:
    """What a mimic of this arm trains on."""
    needed: list[int] = []
    if arm.method not in PLAIN:
        whole = untreated(arm)
        needed = [plan.add(f"protecting: {whole.key}", [], partial(experiment.protect_arm, setup, whole))]
    sifted = []
    if arm.dropping:
        sifted = [plan.add(f"sifting: {setup.sifted(arm).stem}", needed, partial(measures.sift, setup, arm))]
    if arm.then:
        needed = [plan.add(f"treating: {whole_set(arm).key}", needed, partial(measures.treat, setup, arm))]
    return needed + sifted


def _made(plan: _Plan, setup: Setup, arm: Arm, way: Way, seed: int, before: list[int]) -> None:
    """A mimic and its pictures."""
    needed, painted = before, arm.trained_on
    if way.hardening is not None:
        needed = [*needed, plan.add(hardening_of(way), [], partial(measures.base, setup, way))]
    if arm.method != "base":
        train = partial(experiment.train_mimic, setup, painted, way, seed)
        needed = [plan.add(training_of(painted, way, seed), needed, train)]
    folder = setup.samples(painted, way, seed)
    if folder not in plan.painted:
        paint = partial(experiment.paint, setup, painted, way, seed)
        plan.painted[folder] = plan.add(f"generating: {named(painted, way, seed)}", needed, paint)
    made = plan.painted[folder]
    if arm.denoised:
        plan.add(f"denoising: {named(arm, way, seed)}", [made], partial(experiment.paint, setup, arm, way, seed))
