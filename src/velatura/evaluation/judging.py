"""The judges of an experiment, and what they say of each arm's pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from velatura import judges, weights
from velatura.diffusion import clip, extractors
from velatura.evaluation.arms import Arm
from velatura.evaluation.experiment import Experiment, Tell
from velatura.evaluation.figures import Look, OnPictures, Panel, judged, known_as
from velatura.evaluation.mimics import samples
from velatura.evaluation.plugged import judge_of, metric_of, scores
from velatura.evaluation.recipes import Way
from velatura.evaluation.setup import Setup
from velatura.images import read, save, working
from velatura.judges import embedded
from velatura.judges.clip import genre_ranks
from velatura.judges.views import opened, plain
from velatura.perception.style import style
from velatura.plugins import Plugin
from velatura.reports.result import Row


class Jury:
    """The judges of one experiment, in this process's memory; verdicts are files, so that a plan that grows judges
    what is new.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.real: list[Row] = []  # what is said of the artist's own pictures
        self._panel: Panel | None = None

    @property
    def panel(self) -> Panel:
        """Those that judge; taught now, if that was no stage of its own."""
        if self._panel is None:
            self.teach(lambda done, total: None)
        assert self._panel is not None
        return self._panel

    def teach(self, tell: Tell) -> None:
        """Teach the style judge the artist by the pictures held back."""
        setup, experiment = self.setup, self.setup.experiment
        tell(0, len(setup.held_back))
        name = known_as(experiment.artist, embedded.load().artists)
        judge = judges.fit({name: setup.held_back}, device=experiment.device, on_picture=tell)
        training, held_back = list(opened(setup.training)), list(opened(setup.held_back))  # large files, for every arm
        own = {metric_of(judge): self._own(judge) for judge in map(judge_of, experiment.judges)}
        self._panel = Panel(judge, experiment.artist, training, held_back, _genre(experiment), own)

    def _own(self, judge: Plugin) -> OnPictures:
        """A judge of the user's, who looks at pictures at the resolution of cloaks, beside the artist's held back."""
        side = self.setup.resolution
        real = [working(read(path), side) for path in self.setup.held_back]
        return lambda made: scores(judge, [working(read(path), side) for path in made], real)

    def judge_real(self, arm: Arm, tell: Tell) -> None:
        """Judge the artist's own training pictures."""
        tell(0, len(self.setup.training))
        self.real = judged(arm, self.setup.training, self.panel)[0]
        tell(len(self.setup.training), len(self.setup.training))

    def judge(self, arm: Arm, way: Way, seed: int, tell: Tell) -> None:
        """Judge what a mimic generated."""
        made, file = samples(self.setup, arm, way, seed), self.setup.folders.verdict(arm, way, seed)
        tell(0, len(made))
        rows, ranks = judged(arm, made, self.panel, seed, way.label)
        file.parent.mkdir(parents=True, exist_ok=True)
        save(json.dumps({"rows": [asdict(row) for row in rows], "ranks": ranks.tolist()}).encode(), file)
        tell(len(made), len(made))

    def verdict(self, arm: Arm, way: Way, seed: int) -> tuple[list[Row], Tensor]:
        """Rows of what was judged, and the artist's rank for each picture, ``(n,)``."""
        tree = json.loads(self.setup.folders.verdict(arm, way, seed).read_text(encoding="utf-8"))
        return [Row(**row) for row in tree["rows"]], torch.tensor(tree["ranks"])

    @cached_property
    def originals(self) -> Look:
        """The untouched training pictures as the mimic's model sees them, once for all arms."""
        return self._look(self.setup.training)

    def look(self, arm: Arm) -> Look:
        """The arm's pictures as the mimic's model sees them."""
        folders = self.setup.folders
        folder = folders.treated(arm) if arm.then else folders.protected(arm)
        return self._look([folder / name for name in self.setup.files])

    def _look(self, files: Sequence[Path]) -> Look:
        pictures, judge = self._seen(files), self.panel.judge
        styles = [style(view) for view in plain(pictures, judge.extractor)]
        return Look(judge.places(pictures), torch.cat(styles))

    def _seen(self, files: Sequence[Path]) -> list[Path | Tensor]:
        """Views of the mimic's model; of the miniature the files, since judges look through its eye by themselves."""
        setup = self.setup
        if setup.digests["vae"] == weights.sha256(weights.embedded("mini")):
            return list(files)
        eye = extractors.load(setup.experiment.model, setup.experiment.device)
        with torch.no_grad():
            return [eye.view(working(read(file), setup.resolution).to(eye.device)).cpu() for file in files]


def _genre(experiment: Experiment) -> Callable[..., Tensor] | None:
    if experiment.genre is None:
        return None
    model, genre = clip.load(experiment.clip, experiment.device), experiment.genre
    return lambda made: genre_ranks(list(made), genre, model)
