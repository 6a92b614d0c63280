"""What is wrong with an experiment is said before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from velatura import weights
from velatura.cloaks.instant import check_known
from velatura.countermeasures.detect import FEWEST as FEWEST_CLEAN
from velatura.errors import InputError
from velatura.evaluation.arms import Arm
from velatura.evaluation.plugged import judge_of, metric_of
from velatura.styles import catalogue

if TYPE_CHECKING:
    from velatura.evaluation.setup import Setup


def check(setup: Setup) -> None:
    """Refuse what contradicts itself and what is missing: names, pictures, pairs, models, files.

    Raises:
        InputError: an arm, a style or a file is wrong.
        WeightsError: a model is not on this machine.
    """
    experiment = setup.experiment
    for name in filter(None, (experiment.style, *(arm.towards for arm in experiment.arms))):
        catalogue.load().find(name)
    _check_judges(experiment.judges)
    _check_ways(setup)
    _check_names(setup)
    for arm in experiment.arms:
        _check_arm(setup, arm)


def _check_judges(names: Sequence[str]) -> None:
    metrics = [metric_of(judge_of(name)) for name in names]
    for name, metric in zip(names, metrics, strict=True):
        if metrics.count(metric) > 1:
            raise InputError(f"judge {name}: expected another name for each judge, got {metric} twice")


def _check_ways(setup: Setup) -> None:
    arms, ways = setup.experiment.arms, setup.ways
    if any(way.recipe.strength is not None for way in ways) and not setup.experiment.contents:
        raise InputError("img2img: expected pictures to paint over (--contents), by others than the artist")
    if any(way.recipe.one for way in ways) and any(arm.share < 1 for arm in arms):
        raise InputError("one: a mimic with one picture has no share of protected ones: leave out @SHARE")
    needs_pairs = any(arm.dropping for arm in arms) or any(way.robust_training for way in ways)
    fewest = 2 * FEWEST_CLEAN
    if needs_pairs and len(setup.pairs) < fewest:
        raise InputError(f"{setup.experiment.pairs}: expected {fewest} pairs or more, got {len(setup.pairs)}")


def _check_names(setup: Setup) -> None:
    keys: dict[str, Arm] = {}
    for arm in setup.experiment.arms:
        if keys.setdefault(arm.key, arm) != arm:
            raise InputError(f"arm {arm.key}: expected another name for each arm, got two different ones of this")


def _check_arm(setup: Setup, arm: Arm) -> None:
    experiment = setup.experiment
    if arm.at == experiment.effort:
        raise InputError(f"arm {arm.key}: that is the effort of all arms, so leave out 'at {arm.at}'")
    if arm.folder is not None:
        setup.elsewhere(arm)
    else:
        settings = experiment.settings(arm)
        if arm.method == "instant":
            check_known([(name, weights.sha256(weights.require(name))) for name in settings.models])
        setup.folders.models(arm)
    for words in filter(None, (arm.then, arm.denoised)):
        setup.treatment(words)
