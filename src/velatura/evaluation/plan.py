"""An experiment carried out: the one loop over its stages, and the same stages apart for several machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from velatura.evaluation.cost import Task
from velatura.evaluation.experiment import Experiment, Say
from velatura.evaluation.judging import Jury
from velatura.evaluation.outcome import outcome
from velatura.evaluation.setup import Setup
from velatura.evaluation.stages import JUDGING, Stage, stages
from velatura.reports.result import Result


def run(experiment: Experiment, out: Path, say: Say = lambda what, done, total: None) -> Result:
    """Everything that is not yet in ``out``, and the result (also written to ``out/result.json``)."""
    return carry_out(Setup(experiment, out), say)


def carry_out(setup: Setup, say: Say) -> Result:
    """The same, of an experiment that was made ready before."""
    jury = Jury(setup)
    whole = stages(setup, jury)
    for stage in whole:
        stage.run(say)
    return outcome(setup, jury, [stage.judged for stage in whole if stage.judged is not None])


def tasks(setup: Setup) -> list[Task]:
    """What each stage costs, with what is there already."""
    return [stage.task() for stage in stages(setup, Jury(setup))]


@dataclass(frozen=True)
class Part:
    """What one machine of several does: ``what``: as progress calls it; ``after``: numbers of the parts before it."""

    what: str
    after: tuple[int, ...]
    do: Callable[[Say], object] = field(repr=False, compare=False)


def parts(setup: Setup) -> list[Part]:
    """The stages that can be done apart, by machines that see the same folder, numbered from 0.

    The last part does all others together, in one memory, and writes the result: what judges have learned lies in no
    folder.
    """
    whole = stages(setup, Jury(setup))
    found: list[Part] = []
    numbers: dict[str, int] = {}
    filled: dict[Path, int] = {}
    for stage in _apart(whole):
        assert stage.folder is not None
        if stage.folder not in filled:  # two stages of one folder are one part: the second finds it done
            filled[stage.folder] = len(found)
            found.append(Part(stage.name, tuple(sorted({numbers[name] for name in stage.inputs})), stage.run))
        numbers[stage.name] = filled[stage.folder]
    found.append(Part(JUDGING, tuple(range(len(found))), partial(carry_out, setup)))
    return found


def _apart(whole: list[Stage]) -> list[Stage]:
    """Stages that leave their work in a folder, and need nothing that another process would not find."""
    in_memory = {stage.name for stage in whole if stage.folder is None}
    return [stage for stage in whole if stage.folder is not None and not in_memory.intersection(stage.inputs)]
