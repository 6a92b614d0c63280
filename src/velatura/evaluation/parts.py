"""A plan in parts that can be done apart, on several machines that see the same folder.

Everything is cached there by content (``protocol.Setup``), so a part is done when its folder is there, and the last
part finds all others done: it judges, and writes the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from velatura.evaluation import experiment
from velatura.evaluation.arms import PLAIN
from velatura.evaluation.protocol import Say, Setup, training_of, untreated


@dataclass(frozen=True)
class Part:
    """``what``: as progress calls it; ``after``: numbers of the parts that must be done before."""

    what: str
    after: tuple[int, ...]
    do: Callable[[Say], object] = field(repr=False, compare=False)


def parts(setup: Setup) -> list[Part]:
    """The parts of a plan, numbered from 0; each comes after those that it needs. The last one is the result."""
    found: list[Part] = []
    numbers: dict[str, int] = {}

    def add(what: str, after: list[int | None], do: Callable[[Say], object]) -> int:
        if what not in numbers:
            numbers[what] = len(found)
            found.append(Part(what, tuple(sorted({n for n in after if n is not None})), do))
        return numbers[what]

    for arm in setup.protocol.arms:
        before: int | None = None
        if arm.method not in PLAIN:
            whole = untreated(arm)
            before = add(f"protecting: {whole.key}", [], partial(experiment.protect_arm, setup, whole))
        if arm.then:
            before = add(f"treating: {arm.key}", [before], partial(experiment.treat_arm, setup, arm))
        if arm.method == "real":
            continue
        for way in setup.ways:
            for seed in setup.protocol.seeds:
                trained = before
                if arm.method != "base":
                    train = partial(experiment.train_mimic, setup, arm, way, seed)
                    trained = add(training_of(arm, way, seed), [before], train)
                what = f"generating: {arm.key}, {way.label}, seed {seed}"
                add(what, [trained], partial(experiment.paint, setup, arm, way, seed))
    add("judging", list(range(len(found))), partial(experiment.carry_out, setup))
    return found
