"""What is compared, and how: the settings of an experiment, and what they mean for each arm's cloak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from velatura.evaluation.arms import Arm
from velatura.mimicry import generate
from velatura.protection.settings import EFFORTS, Settings

Say = Callable[[str, int, int], None]
"""Progress: what is being done, how much of it is done, and of how much."""
Tell = Callable[[int, int], None]
"""Progress of one stage: how much of it is done, and of how much."""


@dataclass(frozen=True)
class Experiment:
    """What is compared, and how.

    Attributes:
        art: the artist's pictures.
        artist: name in captions.
        arms: what mimics train on, each in its own way.
        model: the mimic's base model: a name, hub id or folder.
        method: its way of fine-tuning.
        changes: fine-tuning settings that differ from the method's defaults.
        recipes: ways to work, in the words of ``Recipe.parse``.
        contents: pictures that img2img paints over.
        extractors: what the cloaks are made on ("mimic": the base model's own), where an arm does not say so itself.
        effort: of the cloaks, where an arm does not say so itself.
        training: pictures that the mimic gets; None: 20, or half where there are few.
        purifier: file of the learned countermeasure (``velatura lab purify train``).
        upscaler: name, hub id or folder of a diffusion upscaler for the countermeasure of that name; None: the mimic's
            own model repaints.
        style: T's name; None: as ``velatura protect`` or the method chooses it.
        pairs: folder of pictures by other artists, ``cloaked/`` and ``clean/``, for detectors and robust training.
        subjects: what generated pictures show, from words alone.
        each: generated pictures per subject.
        seeds: one mimic per seed and arm; none: no mimic is trained, the judge looks at what the model sees.
        sampling_steps: of generating.
        guidance: of generating; None: as usual for the model.
        genre: the artist's, for the paper's CLIP-based genre shift.
        clip: the CLIP model for it, on this machine.
        judges: more judges, by the names of installed packages or as ``MODULE:FUNCTION`` (``plugins.py``).
        device: where networks run.
    """

    art: Sequence[Path]
    artist: str
    arms: Sequence[Arm]
    model: str = "mini"
    method: str = "full"
    changes: dict[str, Any] = field(default_factory=dict)
    recipes: Sequence[str] = ("",)
    contents: Sequence[Path] = ()
    extractors: tuple[str, ...] = ("mimic",)
    effort: str = "default"
    training: int | None = None
    purifier: Path | None = None
    upscaler: str | None = None
    style: str | None = None
    pairs: Path | None = None
    subjects: Sequence[str] = generate.SUBJECTS
    each: int = 4
    seeds: Sequence[int] = (0,)
    sampling_steps: int = 30
    guidance: float | None = None
    genre: str | None = None
    clip: str = "openai/clip-vit-base-patch32"
    judges: Sequence[str] = ()
    device: str = "cpu"

    def settings(self, arm: Arm) -> ArmSettings:
        """How an arm's cloak is made."""
        models = tuple(self.model if name == "mimic" else name for name in arm.on or self.extractors)
        effort = arm.at or self.effort
        as_published = Settings(effort=effort).as_published
        row = arm.row
        if row is not None and row.as_product:
            warm_start = not arm.on and models == (self.model,) and not as_published
        else:
            warm_start = row is not None and arm.method == "instant"
        cloak = None if row is None else row.settings(EFFORTS[effort], arm.budget or 0)
        return ArmSettings(models, effort, arm.towards or self.style, as_published, warm_start, cloak)


@dataclass(frozen=True)
class ArmSettings:
    """How an arm's cloak is made: as the arm says itself, else as the experiment says for all.

    Attributes:
        models: names of what it is made on.
        effort: of its optimiser.
        style: T's name; None: it is chosen.
        as_published: whether that effort makes all as in Glaze's paper (``Settings.as_published``).
        warm_start: whether the instant cloak has a part in it. A cloak of the product begins from it only where it is
            made on the mimic's own model, as usual: with any other, the question is what a cloak made there does here,
            and the instant one knows the miniature.
        cloak: its method's own settings; None where nothing is made.
    """

    models: tuple[str, ...]
    effort: str
    style: str | None
    as_published: bool
    warm_start: bool
    cloak: Any
