"""What is compared, and how: settings, the split of the pictures, and where each stage keeps what it made."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from velatura import judges, weights
from velatura.cloaks.instant import check_known
from velatura.countermeasures.detect import FEWEST as FEWEST_CLEAN
from velatura.countermeasures.detect import Features, features
from velatura.countermeasures.pairs import Pair, each, in_folder
from velatura.countermeasures.treatment import Treatment, model_for, prepare
from velatura.diffusion import extractors
from velatura.diffusion import pipeline as models
from velatura.diffusion.device import pick_device
from velatura.errors import InputError
from velatura.evaluation.arms import PLAIN, Arm, countermeasure, visible_bound
from velatura.evaluation.methods import AS_PRODUCT, BOUNDED, DRAW_AS_GLAZE, THROUGH_UNET, settings_of
from velatura.evaluation.recipes import Recipe, Way
from velatura.images import read, working
from velatura.judges.validation import near_duplicates, thumbnails
from velatura.judges.views import square
from velatura.mimicry import captions, finetune, generate
from velatura.perception import style
from velatura.protect.settings import CLOSEST, EFFORTS, Settings
from velatura.protect.trial import MADE_WITH
from velatura.reports.pictures import file_names
from velatura.styles import catalogue
from velatura.styles.choose import BAND, DRAWN, FAR, TRIED

FEWEST_TO_TRAIN = 4
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")  # of pictures protected elsewhere
Say = Callable[[str, int, int], None]
"""Progress: what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how.

    art: the artist's pictures. artist: name in captions. model, method, changes: the mimic's base model, way of
    fine-tuning and settings that differ from its defaults. recipes: ways to work, in the words of ``Recipe.parse``.
    contents: pictures that img2img paints over. extractors: what the cloaks are made on ("mimic": the base model's
    own), where an arm does not say so itself. training: pictures that the mimic gets; None: 20, or half where there
    are few. purifier: file of the learned countermeasure (``velatura purify train``). upscaler: name, hub id or folder
    of a diffusion upscaler for the countermeasure of that name; None: the mimic's own model repaints. style: T's name;
    None: as ``velatura protect`` or the method chooses it. pairs: folder of pictures by other artists, ``cloaked/`` and
    ``clean/``, for detectors and robust training. each: generated pictures a subject. seeds: one mimic a seed and arm;
    none: no mimic is trained, the judge looks at what the model sees. genre: the artist's, for the paper's CLIP-based
    genre shift, with ``clip``, a model on this machine.
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
    guidance: float | None = None  # as usual for the model
    genre: str | None = None
    clip: str = "openai/clip-vit-base-patch32"
    device: str = "cpu"


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


ELSEWHERE = ("at", "towards", "dropping", "denoised")  # of an arm: its settings and T say it, or it changes no picture
PAINTING = ("styles", "style-predict", "style-transform")  # what T and its pictures come from


class Setup:
    """A protocol with its pictures split and its settings filled in, and where in ``out`` each stage keeps its work.

    Folders are named by content: by the pictures' and the models' digests and by every setting that has a part in what
    lies in them. So a stopped run continues, another plan in the same folder shares what it can, and new weights of the
    same name never meet old pictures.
    """

    def __init__(self, protocol: Protocol, out: Path) -> None:
        self.protocol, self.out = protocol, out
        pick_device(protocol.device)  # refuses, and sets what fp32 means there
        self.training, self.held_back = split(protocol.art, protocol.training)
        self.texts = captions.of_folder(self.training, protocol.artist)
        pipeline = models.load(protocol.model, protocol.device)
        recipes = [Recipe.parse(text, protocol.method) for text in protocol.recipes]
        self.resolution = self._settings(pipeline, Recipe(protocol.method)).resolution
        self.ways = [self._way(pipeline, recipe) for recipe in recipes]
        self.guidance = generate.usual_guidance(pipeline) if protocol.guidance is None else protocol.guidance
        del pipeline
        for name in filter(None, (protocol.style, *(arm.towards for arm in protocol.arms))):
            catalogue.load().find(name)
        if any(way.recipe.strength is not None for way in self.ways) and not protocol.contents:
            raise InputError("img2img: expected pictures to paint over (--contents), by others than the artist")
        if any(way.recipe.one for way in self.ways) and any(arm.share < 1 for arm in protocol.arms):
            raise InputError("one: a mimic with one picture has no share of protected ones: leave out @SHARE")
        folder = weights.require_pipeline(protocol.model)
        self.digests = {part: weights.sha256(folder / part) for part in ("vae", "unet")}
        if (text := folder / "text_encoder/model.safetensors").is_file():
            self.digests["text_encoder"] = weights.sha256(text)
        dropping = any(arm.dropping for arm in protocol.arms)
        if (dropping or any(way.hardening for way in self.ways)) and len(self.pairs) < (fewest := 2 * FEWEST_CLEAN):
            raise InputError(f"{protocol.pairs}: expected {fewest} pairs or more, got {len(self.pairs)}")
        keys: dict[str, Arm] = {}
        for arm in protocol.arms:
            if keys.setdefault(arm.key, arm) != arm:
                raise InputError(f"arm {arm.key}: expected another name for each arm, got two different ones of this")
        for arm in protocol.arms:  # missing models and files are said before anything starts
            if arm.at == protocol.effort:
                raise InputError(f"arm {arm.key}: that is the effort of all arms, so leave out 'at {arm.at}'")
            _ = self.elsewhere(arm) if arm.folder is not None else self._models(arm)
            for words in filter(None, (arm.then, arm.denoised)):
                self.attack(words)

    def _way(self, pipeline: Any, recipe: Recipe) -> Way:
        settings = self._settings(pipeline, recipe)
        if not recipe.robust:
            return Way(recipe, settings)
        whole = self._settings(pipeline, replace(recipe, method="full"))
        return Way(recipe, settings, replace(whole, steps=recipe.robust, cosine=False))

    def _settings(self, pipeline: Any, recipe: Recipe) -> finetune.Settings:
        usual = finetune.defaults(pipeline, recipe.method)  # type: ignore[arg-type]
        own = replace(usual, **self.protocol.changes)
        return replace(own, resolution=recipe.resolution(own.resolution))

    @cached_property
    def art_digests(self) -> list[str]:
        return [_digest(path) for path in self.training]

    @property
    def files(self) -> list[str]:
        """What the training pictures are called in the folders of protected ones."""
        return file_names(self.training)

    @property
    def side(self) -> int:
        """Short side of protected files: the cloak's resolution, or a mimic's that trains at a larger one."""
        return max(self.resolution, *(way.settings.resolution for way in self.ways))

    def extractors(self, arm: Arm) -> tuple[str, ...]:
        """What an arm's cloak is made on."""
        names = arm.on or self.protocol.extractors
        return tuple(self.protocol.model if name == "mimic" else name for name in names)

    def style(self, arm: Arm) -> str | None:
        """T's name, where an arm or the protocol says it."""
        return arm.towards or self.protocol.style

    def _models(self, arm: Arm) -> list[str]:
        names = self.extractors(arm)
        if arm.method == "instant":
            check_known([(name, weights.sha256(weights.require(name))) for name in names])
        unets = [weights.require_pipeline(names[0]) / "unet"] if arm.method in THROUGH_UNET else []
        return [weights.sha256(folder) for folder in (*map(weights.require, names), *unets)]

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

    def effort(self, arm: Arm) -> str:
        """Of an arm's cloak."""
        return arm.at or self.protocol.effort

    def as_published(self, arm: Arm) -> bool:
        """Whether that effort makes all as in Glaze's paper (``Settings.as_published``)."""
        return Settings(effort=self.effort(arm)).as_published

    def warm_start(self, arm: Arm) -> bool:
        """Whether the instant cloak has a part in an arm's.

        A cloak of the product begins from it only where it is made on the mimic's own model, as usual: with any other,
        the question is what a cloak made there does here, and the instant one knows the miniature.
        """
        if arm.folder is not None or arm.method not in AS_PRODUCT:
            return arm.folder is None and arm.method == "instant"
        usual = not arm.on and self.extractors(arm) == (self.protocol.model,)
        return usual and not self.as_published(arm)

    def cloak_settings(self, arm: Arm) -> Any:
        """What an arm's cloak is made with."""
        return settings_of(arm.method, EFFORTS[self.effort(arm)], arm.budget or 0)

    def protected(self, arm: Arm) -> Path:
        """Folder of an arm's pictures (all of them, whatever share a mimic gets) and their figures."""
        whole = untreated(arm)
        made = {key: value for key, value in asdict(whole).items() if key not in ELSEWHERE}
        about: list[Any] = [made, self.art_digests, self.resolution, self.side]
        if arm.folder is not None:
            about.append([_digest(path) for path in self.elsewhere(arm)])
        else:
            settings = self.cloak_settings(arm)
            about += [self.extractors(arm), self._models(arm), asdict(settings)]
            if arm.method != "noise":
                about += [weights.sha256(weights.embedded(name)) for name in PAINTING]
                ours = (FAR, DRAWN, TRIED, style.SIDE, style.LAYERS, MADE_WITH)
                as_glaze = arm.method in DRAW_AS_GLAZE or self.as_published(arm)
                about.append(self.style(arm) or (BAND if as_glaze else ours))
            if self.side > CLOSEST * self.resolution:
                about.append(CLOSEST)
            if self.warm_start(arm):
                about.append(weights.sha256(weights.embedded("instant")))
            if arm.method in BOUNDED:
                about.append(visible_bound(arm, self.as_published(arm)))
        return self.out / "protected" / f"{whole.key}-{_key(about)}"

    def card(self, arm: Arm) -> Path:
        """File of the figures of an arm's pictures.

        T has no part in noise, but figures of it are measured towards T: with another one, in another file.
        """
        whole = untreated(arm)
        aim = self.style(whole) or (BAND if self.as_published(whole) else None) if arm.method == "noise" else None
        return self.protected(whole) / ("figures.json" if aim is None else f"figures-{_key(aim)}.json")

    @cached_property
    def pairs(self) -> list[Pair]:
        """Cloaked and clean pictures of other artists."""
        if self.protocol.pairs is None:
            raise InputError("expected --pairs FOLDER with the folders cloaked and clean, of other artists' pictures")
        return in_folder(self.protocol.pairs)

    @cached_property
    def others(self) -> tuple[Features, Features, list[str]]:
        """What detectors learn from: features of other artists' pictures, clean and cloaked, and whose they are."""
        eye = extractors.load(self.protocol.model, self.protocol.device)
        looks: list[tuple[Features, Features]] = []
        artists: list[str] = []
        for pair, cloaked, clean in each(self.pairs, self.resolution):  # thousands: only their features are kept
            looks.append((features([clean], eye), features([cloaked], eye)))
            artists.append(pair.artist)
        if len(looks) < 2 * FEWEST_CLEAN:
            raise InputError(
                f"{self.protocol.pairs}: expected {2 * FEWEST_CLEAN} pairs or more that can be read, got {len(looks)}"
            )
        clean_ones, cloaked_ones = (
            {kind: np.concatenate([look[kind] for look in part]) for kind in part[0]}
            for part in zip(*looks, strict=True)
        )
        return clean_ones, cloaked_ones, artists

    def attack(self, words: str) -> Treatment:
        """The countermeasure of these words, with what it works with: purifier, upscaler or the mimic's own model."""
        name, changes = countermeasure(words)
        p = self.protocol
        model = model_for(name, p.model, p.purifier, p.upscaler)
        return prepare(name, changes, model=model, device=p.device)

    def found(self, arm: Arm) -> Any:
        """What identifies the pictures that a mimic finds; None: the artist's own."""
        return None if arm.method in PLAIN else (self.protected(arm).name, arm.share)

    def sifted(self, arm: Arm) -> Path:
        """File that says which of them a detector leaves."""
        about = [self.found(arm), self.art_digests, self.resolution, arm.dropping, self.digests["vae"]]
        about.append([pair.digest for pair in self.pairs])
        return self.out / "sifted" / f"{replace(arm, then='', denoised='').key}-{_key(about)}.json"

    def treated(self, arm: Arm) -> Path:
        """Folder of what a countermeasure made of the mimic's pictures, and their figures."""
        attack = self.attack(arm.then)
        about = [self.found(arm), self.art_digests, self.side, attack.describe(), attack.weights]
        return self.out / "treated" / f"{whole_set(arm).key}-{_key(about)}"

    def hardened(self, way: Way) -> Path:
        """Folder of the base model after robust training."""
        assert way.hardening is not None
        about = [self.digests, asdict(way.hardening), [pair.digest for pair in self.pairs]]
        return self.out / "hardened" / f"{way.hardening.steps}-{_key(about)}"

    def mimic(self, arm: Arm, way: Way, seed: int) -> Path:
        """Folder of a fine-tuned model."""
        arm = arm.trained_on
        settings = asdict(replace(way.settings, seed=seed))
        about = [self.digests, self.protocol.artist, self.texts, settings, self.art_digests]
        about.append(self.treated(arm).name if arm.then else self.found(arm))
        about += [self.sifted(arm).name] if arm.dropping else []
        about += [self.hardened(way).name] if way.hardening else []
        about += ["one"] if way.recipe.one else []
        return self.out / "mimics" / f"{arm.key}-{way.settings.method}-{seed}-{_key(about)}"

    def samples(self, arm: Arm, way: Way, seed: int) -> Path:
        """Folder of generated pictures."""
        p = self.protocol
        model: Any = self.digests if arm.method == "base" else self.mimic(arm, way, seed).name
        if arm.method == "base" and way.hardening:
            model = self.hardened(way).name
        about: list[Any] = [model, self.prompts(way), seed, p.sampling_steps, self.guidance, way.settings.resolution]
        if way.recipe.strength is not None:
            about += [way.recipe.strength, [_digest(path) for path in p.contents]]
        if arm.denoised:
            attack = self.attack(arm.denoised)
            about += [attack.describe(), attack.weights]
        name = (way.suffix if arm.method == "base" else way.label).strip().replace(" ", "-")
        return self.out / "samples" / "-".join(part for part in (arm.key, name, str(seed), _key(about)) if part)

    def verdict(self, arm: Arm, way: Way, seed: int) -> Path:
        """File of what the judges said of those, a way: the base model paints one set for several."""
        p = self.protocol
        about: list[Any] = [way.label, p.artist, self.art_digests, [_digest(path) for path in self.held_back]]
        about += [weights.sha256(weights.embedded(name)) for name in ("judge-style", "lpips-vgg", "mini")]
        about += [p.genre, p.clip] if p.genre is not None else []
        return self.out / "verdicts" / f"{self.samples(arm, way, seed).name}-{_key(about)}.json"

    def prompts(self, way: Way) -> list[str]:
        """One a picture, the same in every arm."""
        p = self.protocol
        subjects = list(p.subjects)
        if way.recipe.strength is not None:
            subjects = [captions.subject(path.stem) for path in p.contents]
        return [captions.with_artist(subject, p.artist) for subject in subjects for _ in range(p.each)]


def untreated(arm: Arm) -> Arm:
    """The arm whose protected pictures this one shares: all of them, as they were protected."""
    return replace(arm, share=1.0, then="", dropping="", denoised="")


def whole_set(arm: Arm) -> Arm:
    """The arm whose treated pictures this one shares: all of them, and no other measure taken."""
    return replace(arm, dropping="", denoised="")


def _key(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
