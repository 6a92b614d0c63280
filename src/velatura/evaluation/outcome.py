"""What an experiment has found, once every stage is done: rows, what it was made with, and where pictures lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from velatura import __version__, weights
from velatura.diffusion import clip
from velatura.evaluation import countering
from velatura.evaluation.arms import PLAIN, Arm
from velatura.evaluation.figures import cloak_rows, compared, dropped_rows, view_rows
from velatura.evaluation.folders import PAINTING
from velatura.evaluation.judging import Jury
from velatura.evaluation.methods import METHODS, made_with
from velatura.evaluation.plugged import judge_of
from velatura.evaluation.protecting import figures_of
from velatura.evaluation.setup import Setup
from velatura.evaluation.stages import Judged
from velatura.images import save
from velatura.reports import pictures
from velatura.reports.checks import doubts
from velatura.reports.result import Result, Row, to_json
from velatura.reports.tables import Cell


def outcome(setup: Setup, jury: Jury, judged: Sequence[Judged]) -> Result:
    """The result, also written to ``result.json`` in the experiment's folder, beside the index of its pictures.

    ``judged``: of which pictures there are verdicts.
    """
    experiment, rows = setup.experiment, _rows(setup, jury, judged)
    result = Result(
        "mimicry",
        __version__,
        min(experiment.seeds, default=0),
        experiment.device,
        _settings(setup),
        _weights(setup),
        rows,
        [doubt.text for doubt in doubts(rows, {name: row.seen for name, row in METHODS.items()})],
    )
    save(to_json(_index(setup, judged)).encode(), setup.out / pictures.NAME)
    result.save(setup.out / "result.json")
    return result


def _rows(setup: Setup, jury: Jury, judged: Sequence[Judged]) -> list[Row]:
    experiment = setup.experiment
    rows: list[Row] = []
    ranks: dict[str, dict[str, dict[int, Tensor]]] = {}  # by way, arm and seed
    for arm in experiment.arms:
        if arm.method == "real":
            rows += jury.real
            continue
        rows += _rows_of_pictures(setup, jury, arm)
        for made in (made for made in judged if made.arm == arm):
            said, ranks_of_one = jury.verdict(*made)
            rows += said
            ranks.setdefault(made.way.label, {}).setdefault(arm.key, {})[made.seed] = ranks_of_one
    for label, ranks_of in ranks.items():
        rows += compared(experiment.arms, ranks_of, experiment.artist, label)
    return rows


def _rows_of_pictures(setup: Setup, jury: Jury, arm: Arm) -> list[Row]:
    """What is said of an arm's pictures, whatever mimics make of them."""
    artist, rows, altered = setup.experiment.artist, [], arm.method not in PLAIN
    if altered and not arm.countermeasures:
        rows += cloak_rows(arm, artist, figures_of(setup, arm))
    if arm.dropping:
        rows += dropped_rows(arm, artist, countering.counts(setup, arm))
    if arm != arm.whole_set:
        return rows
    if arm.then:
        rows += cloak_rows(arm, artist, countering.treated_figures(setup, arm))
    if arm.then or altered:
        rows += view_rows(arm, jury.originals, jury.look(arm), jury.panel.judge, artist)
    return rows


def _settings(setup: Setup) -> dict[str, Any]:
    experiment = setup.experiment
    left_out = ("art", "arms", "subjects", "contents", "purifier", "pairs", "judges")
    own_judges = {name: judge_of(name).sha256 for name in experiment.judges}
    return {
        **{key: value for key, value in asdict(experiment).items() if key not in left_out},
        "arms": [arm.key for arm in experiment.arms],
        "guidance": setup.guidance,
        "cloak_resolution": setup.resolution,
        "recipe": {
            way.label: asdict(way.settings)
            | {"strength": way.recipe.strength}
            | ({"one": True} if way.recipe.one else {})
            for way in setup.ways
        },
        "training": [path.name for path in setup.training],
        "judge_pictures": len(setup.held_back),
        "subjects": list(experiment.subjects),
        "contents": [path.name for path in experiment.contents],
        "pairs": len(setup.pairs) if experiment.pairs else 0,
        "targets": _targets(setup),
        "methods": _methods(setup),
        "at_once": [arm.key for arm in experiment.arms if experiment.settings(arm).warm_start],
        "optimised_through": {arm.method: arm.row.seen for arm in experiment.arms if arm.row and arm.row.seen},
        **({"judges": own_judges} if own_judges else {}),
    }


def _methods(setup: Setup) -> dict[str, Any]:
    """What each cloak was made with, by method and its own effort; less the budget, which the arm says."""
    found = {}
    for arm in (arm for arm in setup.experiment.arms if arm.row is not None):
        name = arm.method + (f" at {arm.at}" if arm.at else "")
        found[name] = made_with(setup.experiment.settings(arm).cloak)
    return found


def _targets(setup: Setup) -> dict[str, str]:
    """T of each cloak, by arm."""
    found = {}
    for arm in setup.experiment.arms:
        if arm.row is not None and arm.method != "noise":
            card = json.loads(setup.folders.card(arm).read_text(encoding="utf-8"))
            found[arm.untreated.key] = card["style"]
    return found


def _weights(setup: Setup) -> dict[str, str]:
    experiment = setup.experiment
    own = [experiment.settings(arm) for arm in experiment.arms if arm.row is not None]
    embedded = ["lpips-alex", "lpips-vgg", "judge-style", "mini", *(PAINTING if own else ())]
    digests = {name: weights.sha256(weights.embedded(name)) for name in embedded}
    if experiment.genre is not None and (file := clip.weights_file(experiment.clip)):
        digests["clip"] = weights.sha256(file)
    names = {name for settings in own for name in settings.models} - {experiment.model}
    if any(settings.warm_start for settings in own):
        digests["instant"] = weights.sha256(weights.embedded("instant"))
    for words in {words for arm in experiment.arms for words in (arm.then, arm.denoised) if words}:
        digests |= setup.treatment(words).weights
    return digests | setup.digests | {name: weights.sha256(weights.require(name)) for name in sorted(names)}


def _index(setup: Setup, judged: Sequence[Judged]) -> dict[str, Any]:
    """Where pictures lie, for reports that are made from this folder (``reports/pictures.py``)."""
    arms = [arm for arm in setup.experiment.arms if arm.method not in PLAIN]
    altered = {setup.folders.protected(arm).name: arm.untreated for arm in arms}
    painted = sorted(judged, key=lambda made: setup.ways.index(made.way))
    return {
        "prompts": {way.label: setup.prompts(way) for way in setup.ways},
        "arms": [
            {
                "label": _shown(made.arm),
                "recipe": made.way.label,
                "seed": made.seed,
                "folder": setup.folders.samples(*made).relative_to(setup.out).as_posix(),
            }
            for made in painted
        ],
        "art": [str(path.resolve()) for path in setup.training],
        "protected": [{"label": _shown(arm), "folder": f"protected/{name}"} for name, arm in altered.items()],
    }


def _shown(arm: Arm) -> str:
    """The arm as tables name it."""
    return Cell(None, arm.kind, arm.label, arm.budget, None, arm.countermeasures or None, {}).label
