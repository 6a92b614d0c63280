"""An experiment made ready: its pictures split, the mimic's settings filled in, the models' digests known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from velatura import judges, weights
from velatura.countermeasures import plugged as countermeasures
from velatura.countermeasures.detect import FEWEST as FEWEST_CLEAN
from velatura.countermeasures.detect import Features, features
from velatura.countermeasures.pairs import Pair, each, in_folder
from velatura.countermeasures.treatment import Treatment, model_for, prepare
from velatura.diffusion import extractors
from velatura.diffusion import pipeline as models
from velatura.diffusion.device import pick_device
from velatura.errors import InputError
from velatura.evaluation.arms import Arm, countermeasure
from velatura.evaluation.checks import check
from velatura.evaluation.experiment import Experiment
from velatura.evaluation.folders import Folders, digest
from velatura.evaluation.plugged import judge_of, sources
from velatura.evaluation.recipes import Recipe, Way
from velatura.images import read, working
from velatura.judges.validation import near_duplicates, thumbnails
from velatura.judges.views import square
from velatura.mimicry import captions, finetune, generate
from velatura.reports.pictures import file_names

FEWEST_TO_TRAIN = 4
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")  # of pictures protected elsewhere


def split(art: Sequence[Path], count: int | None, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Training pictures, and those for the judge: none of them a near-duplicate of a training picture."""
    paths = sorted(art)
    wanted = count or min(20, len(paths) // 2)
    fewest = FEWEST_TO_TRAIN + judges.style.FEWEST
    if len(paths) < fewest:
        raise InputError(
            f"expected {FEWEST_TO_TRAIN} pictures or more for the mimic and {judges.style.FEWEST} others for the "
            f"judge, got {len(paths)} in all: add {fewest - len(paths)} or more"
        )
    if count is None:  # few pictures: the judge's share comes first
        wanted = min(wanted, len(paths) - judges.style.FEWEST)
    random.Random(seed).shuffle(paths)
    groups = near_duplicates(thumbnails(torch.cat([square(working(read(p), 128)) for p in paths])))
    taken = set(groups[:wanted].tolist())
    rest = [p for p, group in zip(paths[wanted:], groups[wanted:].tolist(), strict=True) if group not in taken]
    if wanted < FEWEST_TO_TRAIN or len(rest) < judges.style.FEWEST:
        raise InputError(
            f"expected {FEWEST_TO_TRAIN} pictures or more for the mimic and {judges.style.FEWEST} others for the "
            f"judge, got {wanted} and {len(rest)} that do not repeat them: add pictures"
        )
    return paths[:wanted], rest


class Setup:
    """What every stage of an experiment works with.

    Attributes:
        experiment, out: what is compared, and the folder of it all.
        folders: where in it each stage keeps its work.
        training, held_back: the mimic's pictures, and the judge's.
        texts: captions of the training pictures.
        resolution: short side in pixels that cloaks are made at: the one at which the mimic usually trains.
        ways: in which mimics work.
        guidance: of generating.
        digests: sha256 of the base model's parts.

    Raises:
        InputError: something that the experiment needs is missing or contradicts itself; nothing has started then.
        WeightsError: a model is not on this machine.
    """

    def __init__(self, experiment: Experiment, out: Path) -> None:
        self.experiment, self.out = experiment, out
        pick_device(experiment.device)  # refuses, and sets what fp32 means there
        self.training, self.held_back = split(experiment.art, experiment.training)
        self.texts = captions.of_folder(self.training, experiment.artist)
        pipeline = models.load(experiment.model, experiment.device)
        recipes = [Recipe.parse(text, experiment.method) for text in experiment.recipes]
        self.resolution = self._fine_tuning(pipeline, Recipe(experiment.method)).resolution
        self.ways = [self._way(pipeline, recipe) for recipe in recipes]
        self.guidance = generate.usual_guidance(pipeline) if experiment.guidance is None else experiment.guidance
        del pipeline
        folder = weights.require_pipeline(experiment.model)
        self.digests = {part: weights.sha256(folder / part) for part in ("vae", "unet")}
        if (text := folder / "text_encoder/model.safetensors").is_file():
            self.digests["text_encoder"] = weights.sha256(text)
        self.folders = Folders(self)
        check(self)

    def _way(self, pipeline: Any, recipe: Recipe) -> Way:
        settings = self._fine_tuning(pipeline, recipe)
        if not recipe.robust:
            return Way(recipe, settings)
        whole = self._fine_tuning(pipeline, replace(recipe, method="full"))
        return Way(recipe, settings, replace(whole, steps=recipe.robust, cosine=False))

    def _fine_tuning(self, pipeline: Any, recipe: Recipe) -> finetune.Settings:
        usual = finetune.defaults(pipeline, recipe.method)  # type: ignore[arg-type]
        own = replace(usual, **self.experiment.changes)
        return replace(own, resolution=recipe.resolution(own.resolution))

    @cached_property
    def art_digests(self) -> list[str]:
        """Of the training pictures' files."""
        return [digest(path) for path in self.training]

    @property
    def files(self) -> list[str]:
        """What the training pictures are called in the folders of protected ones."""
        return file_names(self.training)

    @property
    def side(self) -> int:
        """Short side of protected files: the cloak's resolution, or a mimic's that trains at a larger one."""
        return max(self.resolution, *(way.settings.resolution for way in self.ways))

    def prompts(self, way: Way) -> list[str]:
        """One per generated picture, the same in every arm."""
        e = self.experiment
        subjects = list(e.subjects)
        if way.recipe.strength is not None:
            subjects = [captions.subject(path.stem) for path in e.contents]
        return [captions.with_artist(subject, e.artist) for subject in subjects for _ in range(e.each)]

    def elsewhere(self, arm: Arm) -> list[Path]:
        """The pictures that an arm with a folder brings along, in the order of the training pictures."""
        assert arm.folder is not None
        given: list[Path] = sorted(arm.folder.iterdir()) if arm.folder.is_dir() else []
        found: list[Path] = []
        for path in self.training:
            same = [p for p in given if p.stem == path.stem and p.suffix.lower() in SUFFIXES]
            if not same:
                raise InputError(
                    f"{arm.folder}: expected a protected {path.name} (PNG, JPEG or WebP of the same name), found none"
                )
            if same[0] in found:
                raise InputError(f"{arm.folder}: {same[0].name} may be of two training pictures: rename one of them")
            found.append(same[0])
        return found

    def treatment(self, words: str) -> Treatment:
        """The countermeasure of these words, with what it works with: purifier, upscaler or the mimic's own model."""
        name, changes = countermeasure(words)
        e = self.experiment
        model = model_for(name, e.model, e.purifier, e.upscaler)
        return prepare(name, changes, model=model, device=e.device)

    @property
    def plugins(self) -> dict[str, str]:
        """sha256 of the source of each plug-in that has a part in it, by what errors call it."""
        found: dict[str, str] = {}
        for arm in self.experiment.arms:
            found |= sources(arm.method) if arm.folder is None else {}
            for words in filter(None, (arm.then, arm.denoised)):
                found |= countermeasures.sources(countermeasure(words)[0])
        return found | {judge.title: judge.sha256 for judge in map(judge_of, self.experiment.judges)}

    @cached_property
    def pairs(self) -> list[Pair]:
        """Cloaked and clean pictures of other artists."""
        if self.experiment.pairs is None:
            raise InputError("expected --pairs FOLDER with the folders cloaked and clean, of other artists' pictures")
        return in_folder(self.experiment.pairs)

    @cached_property
    def others(self) -> tuple[Features, Features, list[str]]:
        """What detectors learn from: features of other artists' pictures, clean and cloaked, and whose they are."""
        eye = extractors.load(self.experiment.model, self.experiment.device)
        looks: list[tuple[Features, Features]] = []
        artists: list[str] = []
        for pair, cloaked, clean in each(self.pairs, self.resolution):  # thousands: only their features are kept
            looks.append((features([clean], eye), features([cloaked], eye)))
            artists.append(pair.artist)
        if len(looks) < 2 * FEWEST_CLEAN:
            raise InputError(
                f"{self.experiment.pairs}: expected {2 * FEWEST_CLEAN} pairs or more that can be read, got {len(looks)}"
            )
        clean_ones, cloaked_ones = (
            {kind: np.concatenate([look[kind] for look in part]) for kind in part[0]}
            for part in zip(*looks, strict=True)
        )
        return clean_ones, cloaked_ones, artists
