"""The stages of an experiment: the one list that running, costs, parts, progress and dry runs read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from velatura.evaluation import calibration, countering, mimics
from velatura.evaluation.arms import PLAIN, Arm
from velatura.evaluation.cost import Cost, Task
from velatura.evaluation.experiment import Say, Tell
from velatura.evaluation.judging import Jury
from velatura.evaluation.protecting import protect_arm
from velatura.evaluation.recipes import Way
from velatura.evaluation.setup import Setup

TEACHING = "teaching the judge"
PROTECTING, SIFTING, TREATING, HARDENING = "protecting", "sifting", "treating", "hardening"
TRAINING, GENERATING, DENOISING, JUDGING = "fine-tuning", "generating", "denoising", "judging"
KINDS = (PROTECTING, SIFTING, TREATING, HARDENING, TRAINING, GENERATING, DENOISING, JUDGING)
"""How the names of stages begin, in the order in which an arm goes through them."""


class Judged(NamedTuple):
    """Whose pictures a stage judges."""

    arm: Arm
    way: Way
    seed: int


@dataclass(frozen=True)
class Stage:
    """A piece of an experiment's work.

    Attributes:
        name: as progress calls it; no two stages of an experiment have the same.
        inputs: names of the stages that must be done before it.
        folder: where its work lies, a folder or a file; None: in this process's memory alone.
        cost: what kind of work it is, how much of it, and how much of that is there already.
        do: does what is not there, and tells how far it is.
        judged: whose pictures it judges, if it judges a mimic's.
    """

    name: str
    inputs: tuple[str, ...]
    folder: Path | None
    cost: Cost
    do: Callable[[Tell], object] = field(repr=False, compare=False)
    judged: Judged | None = None

    @property
    def left(self) -> int:
        """Units of its work that are not there now."""
        return max(0, self.cost.units - self.cost.there())

    def run(self, say: Say) -> None:
        """Do it, if anything is left of it."""
        if self.left:
            self.do(partial(say, self.name))

    def task(self) -> Task:
        """What it costs, as it stands now."""
        return Task(self.name, self.cost.kind, self.cost.units, self.cost.units - self.left, self.cost.trial)


def stages(setup: Setup, jury: Jury) -> list[Stage]:
    """Every stage, each after its inputs; what several arms or ways share stands there once."""
    plan = _Stages(setup, jury)
    plan.teach()
    for arm in setup.experiment.arms:
        if arm.method == "real":
            plan.judge_real(arm)
            continue
        given = plan.given(arm)
        for way in setup.ways:
            for seed in setup.experiment.seeds:
                plan.mimic(Judged(arm, way, seed), given)
    return list(plan.found.values())


class _Stages:
    """The list as it grows."""

    def __init__(self, setup: Setup, jury: Jury) -> None:
        self.setup, self.folders, self.jury = setup, setup.folders, jury
        self.experiment, self.device = setup.experiment, setup.experiment.device
        self.found: dict[str, Stage] = {}
        self._painted: dict[Path, str] = {}

    def add(self, stage: Stage) -> str:
        return self.found.setdefault(stage.name, stage).name

    def teach(self) -> None:
        cost = Cost(f"{TEACHING} on {self.device}", len(self.setup.held_back))
        self.add(Stage(TEACHING, (), None, cost, self.jury.teach))

    def judge_real(self, arm: Arm) -> None:
        cost = Cost(f"{JUDGING} on {self.device}", len(self.setup.training))
        self.add(Stage(f"{JUDGING}: real", (TEACHING,), None, cost, partial(self.jury.judge_real, arm)))

    def given(self, arm: Arm) -> tuple[str, ...]:
        """What is done before a mimic of this arm trains."""
        needed: tuple[str, ...] = ()
        if arm.method not in PLAIN:
            needed = (self.protect(arm.untreated),)
        sifted = (self.sift(arm, needed),) if arm.dropping else ()
        if arm.then:
            needed = (self.treat(arm, needed),)
        return needed + sifted

    def protect(self, arm: Arm) -> str:
        setup, own = self.setup, self.experiment.settings(arm)
        count, models = len(setup.training), "+".join(own.models)
        kind = f"{PROTECTING} {arm.method}, {own.effort}, {setup.resolution} px, {models} on {self.device}"
        there = _whole(count, self.folders.card(arm))
        cost = Cost(kind, count, there, partial(calibration.protecting, setup, arm))
        folder = self.folders.protected(arm)
        return self.add(Stage(f"{PROTECTING}: {arm.key}", (), folder, cost, partial(protect_arm, setup, arm)))

    def sift(self, arm: Arm, needed: tuple[str, ...]) -> str:
        file, units = self.folders.sifted(arm), len(self.setup.training) + 2 * len(self.setup.pairs)
        cost = Cost(f"{SIFTING} on {self.device}", units, _whole(units, file))
        do = partial(countering.sift, self.setup, arm)
        return self.add(Stage(f"{SIFTING}: {file.stem}", needed, file, cost, do))

    def treat(self, arm: Arm, needed: tuple[str, ...]) -> str:
        folder, count = self.folders.treated(arm), len(self.setup.training)
        cost = self._treating(arm.then, self.setup.side, count, _whole(count, folder / "figures.json"))
        do = partial(countering.treat, self.setup, arm)
        return self.add(Stage(f"{TREATING}: {arm.whole_set.key}", needed, folder, cost, do))

    def mimic(self, judged: Judged, given: tuple[str, ...]) -> None:
        """A mimic, its pictures, and what is said of them."""
        way, own = judged.way, judged._replace(arm=judged.arm.trained_on)
        needed = given if way.robust_training is None else (*given, self.robust_base(way))
        if own.arm.method != "base":
            needed = (self.train(own, needed),)
        made = self.generate(own, needed)
        if judged.arm.denoised:
            made = self.denoise(judged, made)
        self.judge(judged, made)

    def robust_base(self, way: Way) -> str:
        assert way.robust_training is not None
        name = f"{HARDENING}: {way.suffix.removesuffix(' img2img').strip()}"
        # A step of the encoder and one of the U-Net are two.
        units, folder = 2 * way.robust_training.steps, self.folders.robust_base(way)
        kind = f"{HARDENING}, {way.robust_training.batch} of {self._on(way)}"
        cost = Cost(
            kind, units, self._if_read(name, folder, units), partial(calibration.robust_training, self.setup, way)
        )
        return self.add(Stage(name, (), folder, cost, partial(mimics.train_robust_base, self.setup, way)))

    def train(self, made: Judged, needed: tuple[str, ...]) -> str:
        # Several ways to generate may share a mimic.
        arm, way, seed = made
        name, steps = f"{TRAINING}: {arm.key}, {way.training}, seed {seed}", way.settings.steps
        folder = self.folders.mimic(arm, way, seed)
        kind = f"{TRAINING} {way.settings.method}, {way.settings.batch} of {self._on(way)}"
        cost = Cost(kind, steps, self._if_read(name, folder, steps), partial(calibration.training, self.setup, way))
        return self.add(Stage(name, needed, folder, cost, partial(mimics.train, self.setup, arm, way, seed)))

    def generate(self, made: Judged, needed: tuple[str, ...]) -> str:
        name, folder = f"{GENERATING}: {_named(*made)}", self.folders.samples(*made)
        first = self._painted.setdefault(folder, name)
        if first != name:  # the base model paints the same whatever a mimic trains
            needed = (first,)
        how = "words" if made.way.recipe.strength is None else "img2img"
        kind = f"{GENERATING} from {how}, {self.experiment.sampling_steps} steps, {self._on(made.way)}"
        trial = partial(calibration.generating, self.setup, made.way)
        cost = Cost(kind, len(self.setup.prompts(made.way)), self._painted_there(made), trial)
        return self.add(Stage(name, needed, folder, cost, partial(mimics.paint, self.setup, *made)))

    def denoise(self, made: Judged, raw: str) -> str:
        side, count = made.way.settings.resolution, len(self.setup.prompts(made.way))
        cost = self._treating(made.arm.denoised, side, count, self._painted_there(made))
        do = partial(mimics.denoise, self.setup, *made)
        return self.add(Stage(f"{DENOISING}: {_named(*made)}", (raw,), self.folders.samples(*made), cost, do))

    def judge(self, made: Judged, painted: str) -> None:
        file, count = self.folders.verdict(*made), len(self.setup.prompts(made.way))
        cost = Cost(f"{JUDGING} on {self.device}", count, _whole(count, file))
        do = partial(self.jury.judge, *made)
        self.add(Stage(f"{JUDGING}: {_named(*made)}", (TEACHING, painted), file, cost, do, made))

    def _treating(self, words: str, side: int, count: int, there: Callable[[], int]) -> Cost:
        trial = partial(calibration.treating, self.setup, words, side)
        return Cost(f"{TREATING} by {words}, {side} px on {self.device}", count, there, trial)

    def _on(self, way: Way) -> str:
        return f"{self.experiment.model} {way.settings.resolution} px on {self.device}"

    def _painted_there(self, made: Judged) -> Callable[[], int]:
        paths = mimics.samples(self.setup, *made)
        return lambda: sum(path.exists() for path in paths)

    def _if_read(self, name: str, folder: Path, units: int) -> Callable[[], int]:
        """Of a model: it counts as there, too, where all that it was to make is."""

        def there() -> int:
            readers = [stage for stage in self.found.values() if name in stage.inputs]
            return units if folder.exists() or not any(stage.left for stage in readers) else 0

        return there


def _whole(units: int, place: Path) -> Callable[[], int]:
    """All at once: nothing of it is there before all is."""
    return lambda: units if place.exists() else 0


def _named(arm: Arm, way: Way, seed: int) -> str:
    """One mimic's pictures, as progress names them."""
    return f"{arm.key}, {way.label}, seed {seed}"
