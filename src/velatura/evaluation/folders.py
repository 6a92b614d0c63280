"""Where in an experiment's folder each stage keeps its work.

Folders are named by content: by the pictures' and the models' digests and by every setting that has a part in what lies
in them. So a stopped run continues, another plan in the same folder shares what it can, and new weights of the same
name never meet old pictures.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from velatura import weights
from velatura.evaluation.arms import PLAIN, Arm, visible_bound
from velatura.evaluation.plugged import judge_of
from velatura.evaluation.recipes import Way
from velatura.perception import style
from velatura.protection.settings import CLOSEST
from velatura.protection.trial import MADE_WITH
from velatura.styles.choose import BAND, DRAWN, FAR, TRIED

if TYPE_CHECKING:
    from velatura.evaluation.setup import Setup

ELSEWHERE = ("at", "towards", "dropping", "denoised")  # of an arm: its settings and T say it, or it changes no picture
PAINTING = ("styles", "style-predict", "style-transform")  # what T and its pictures come from


class Folders:
    """The folders and files of a :class:`~velatura.evaluation.setup.Setup`, which need not be there yet."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def protected(self, arm: Arm) -> Path:
        """Folder of an arm's pictures (all of them, whatever share a mimic gets) and their figures."""
        setup, whole = self.setup, arm.untreated
        made = {key: value for key, value in asdict(whole).items() if key not in ELSEWHERE}
        about: list[Any] = [made, setup.art_digests, setup.resolution, setup.side]
        if arm.folder is not None:
            about.append([digest(path) for path in setup.elsewhere(arm)])
        else:
            about += self._cloak(arm)
        return setup.out / "protected" / f"{whole.key}-{_key(about)}"

    def _cloak(self, arm: Arm) -> list[Any]:
        """All that has a part in an arm's cloak."""
        setup, row, settings = self.setup, arm.row, self.setup.experiment.settings(arm)
        assert row is not None
        about: list[Any] = [settings.models, self.models(arm), asdict(settings.cloak)]
        if arm.method != "noise":
            about += [weights.sha256(weights.embedded(name)) for name in PAINTING]
            ours = (FAR, DRAWN, TRIED, style.SIDE, style.LAYERS, MADE_WITH)
            as_glaze = row.draws_like_glaze or settings.as_published
            about.append(settings.style or (BAND if as_glaze else ours))
        if setup.side > CLOSEST * setup.resolution:
            about.append(CLOSEST)
        if settings.warm_start:
            about.append(weights.sha256(weights.embedded("instant")))
        if row.bound:
            about.append(visible_bound(arm, settings.as_published))
        return about

    def models(self, arm: Arm) -> list[str]:
        """sha256 of what an arm's cloak is made on."""
        names = self.setup.experiment.settings(arm).models
        through_unet = arm.row is not None and arm.row.through_unet
        unets = [weights.require_pipeline(names[0]) / "unet"] if through_unet else []
        return [weights.sha256(folder) for folder in (*map(weights.require, names), *unets)]

    def card(self, arm: Arm) -> Path:
        """File of the figures of an arm's pictures.

        T has no part in noise, but figures of it are measured towards T: with another one, in another file.
        """
        whole = arm.untreated
        aim: Any = None
        if arm.method == "noise":
            settings = self.setup.experiment.settings(whole)
            aim = settings.style or (BAND if settings.as_published else None)
        return self.protected(whole) / ("figures.json" if aim is None else f"figures-{_key(aim)}.json")

    def found(self, arm: Arm) -> Any:
        """What identifies the pictures that a mimic finds; None: the artist's own."""
        return None if arm.method in PLAIN else (self.protected(arm).name, arm.share)

    def sifted(self, arm: Arm) -> Path:
        """File that says which of them a detector leaves."""
        setup = self.setup
        about = [self.found(arm), setup.art_digests, setup.resolution, arm.dropping, setup.digests["vae"]]
        about.append([pair.digest for pair in setup.pairs])
        return setup.out / "sifted" / f"{replace(arm, then='', denoised='').key}-{_key(about)}.json"

    def treated(self, arm: Arm) -> Path:
        """Folder of what a countermeasure made of the mimic's pictures, and their figures."""
        setup, treatment = self.setup, self.setup.treatment(arm.then)
        about = [self.found(arm), setup.art_digests, setup.side, treatment.describe(), treatment.weights]
        return setup.out / "treated" / f"{arm.whole_set.key}-{_key(about)}"

    def robust_base(self, way: Way) -> Path:
        """Folder of the base model after robust training."""
        assert way.robust_training is not None
        about = [self.setup.digests, asdict(way.robust_training), [pair.digest for pair in self.setup.pairs]]
        return self.setup.out / "hardened" / f"{way.robust_training.steps}-{_key(about)}"

    def mimic(self, arm: Arm, way: Way, seed: int) -> Path:
        """Folder of a fine-tuned model."""
        arm, setup = arm.trained_on, self.setup
        settings = asdict(replace(way.settings, seed=seed))
        about = [setup.digests, setup.experiment.artist, setup.texts, settings, setup.art_digests]
        about.append(self.treated(arm).name if arm.then else self.found(arm))
        about += [self.sifted(arm).name] if arm.dropping else []
        about += [self.robust_base(way).name] if way.robust_training else []
        about += ["one"] if way.recipe.one else []
        return setup.out / "mimics" / f"{arm.key}-{way.settings.method}-{seed}-{_key(about)}"

    def samples(self, arm: Arm, way: Way, seed: int) -> Path:
        """Folder of generated pictures."""
        setup, e = self.setup, self.setup.experiment
        model: Any = setup.digests if arm.method == "base" else self.mimic(arm, way, seed).name
        if arm.method == "base" and way.robust_training:
            model = self.robust_base(way).name
        about: list[Any] = [model, setup.prompts(way), seed, e.sampling_steps, setup.guidance, way.settings.resolution]
        if way.recipe.strength is not None:
            about += [way.recipe.strength, [digest(path) for path in e.contents]]
        if arm.denoised:
            treatment = setup.treatment(arm.denoised)
            about += [treatment.describe(), treatment.weights]
        name = (way.suffix if arm.method == "base" else way.label).strip().replace(" ", "-")
        return setup.out / "samples" / "-".join(part for part in (arm.key, name, str(seed), _key(about)) if part)

    def verdict(self, arm: Arm, way: Way, seed: int) -> Path:
        """File of what the judges said of those, per way: the base model paints one set for several."""
        setup, e = self.setup, self.setup.experiment
        about: list[Any] = [way.label, e.artist, setup.art_digests, [digest(path) for path in setup.held_back]]
        about += [weights.sha256(weights.embedded(name)) for name in ("judge-style", "lpips-vgg", "mini")]
        about += [e.genre, e.clip] if e.genre is not None else []
        about += [[name, judge_of(name).sha256] for name in e.judges]
        return setup.out / "verdicts" / f"{self.samples(arm, way, seed).name}-{_key(about)}.json"


def digest(path: Path) -> str:
    """The beginning of a file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _key(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()[:12]
