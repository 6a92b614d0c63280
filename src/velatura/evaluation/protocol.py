"""One artist, one mimic, several arms: protect, fine-tune, generate, judge. Resumable from its folder alone."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from velatura import __version__, judges, weights
from velatura.diffusion import pipeline as models
from velatura.errors import InputError
from velatura.evaluation.arms import PLAIN, Arm, protect
from velatura.evaluation.figures import cloak_rows, compared, judged, warnings
from velatura.images import read, save, working
from velatura.judges.validation import near_duplicates, thumbnails
from velatura.judges.views import square
from velatura.mimicry import captions, finetune, generate
from velatura.mimicry.pictures import to_png
from velatura.protect import Protector, Settings
from velatura.protect.protector import png
from velatura.reports.result import Result, Row, to_json

FEWEST_TO_TRAIN = 4
Say = Callable[[str, int, int], None]
"""Progress: what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how.

    art: the artist's pictures. artist: name in captions. model, method, changes: the mimic's base model, way of
    fine-tuning and settings that differ from its defaults. extractors: what the cloaks are made on ("mimic": the base
    model's own). training: pictures that the mimic gets; None: 20, or half where there are few. each: generated
    pictures a subject. seeds: one mimic a seed and arm.
    """

    art: Sequence[Path]
    artist: str
    arms: Sequence[Arm]
    model: str = "mini"
    method: str = "full"
    changes: dict[str, Any] = field(default_factory=dict)
    extractors: tuple[str, ...] = ("mimic",)
    effort: str = "default"
    training: int | None = None
    subjects: Sequence[str] = generate.SUBJECTS
    each: int = 4
    seeds: Sequence[int] = (0,)
    sampling_steps: int = 30
    guidance: float = 5.0
    device: str = "cpu"


def stages(protocol: Protocol) -> list[str]:
    """The plan in words, before it starts."""
    trained = [arm for arm in protocol.arms if arm.method not in ("base", "real")]
    made = len(protocol.subjects) * protocol.each
    mimics = len(trained) * len(protocol.seeds)
    return [
        f"{len(protocol.art)} pictures of {protocol.artist}; arms: {', '.join(arm.key for arm in protocol.arms)}",
        f"{mimics} times {protocol.method} fine-tuning of {protocol.model}, {made} pictures each",
    ]


def split(art: Sequence[Path], count: int | None, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Training pictures, and those for the judge: none of them a near-duplicate of a training picture."""
    paths = sorted(art)
    wanted = count or min(20, len(paths) // 2)
    random.Random(seed).shuffle(paths)
    groups = near_duplicates(thumbnails(torch.cat([square(working(read(p), 128)) for p in paths])))
    taken = set(groups[:wanted].tolist())
    rest = [p for p, group in zip(paths[wanted:], groups[wanted:].tolist(), strict=True) if group not in taken]
    if wanted < FEWEST_TO_TRAIN or len(rest) < judges.style.FEWEST:
        raise InputError(
            f"expected {FEWEST_TO_TRAIN} pictures or more for the mimic and {judges.style.FEWEST} others for the "
            f"judge, got {wanted} and {len(rest)} that do not repeat them"
        )
    return paths[:wanted], rest


def run(protocol: Protocol, out: Path, say: Say = lambda what, done, total: None) -> Result:
    """Everything that is not yet in ``out``, and the result (also written to ``out/result.json``)."""
    training, held_back = split(protocol.art, protocol.training)
    pipeline = models.load(protocol.model, protocol.device)
    recipe = replace(finetune.defaults(pipeline, protocol.method), **protocol.changes)  # type: ignore[arg-type]
    originals = [working(read(path), recipe.resolution) for path in training]
    texts = captions.of_folder(training, protocol.artist)
    del pipeline
    say("teaching the judge", 0, 1)
    judge = judges.fit({protocol.artist: held_back}, device=protocol.device)
    rows: list[Row] = []
    samples: dict[str, dict[int, torch.Tensor]] = {}
    for arm in protocol.arms:
        if arm.method == "real":
            rows += judged(arm, training, judge, protocol.artist, None, held_back, None, None)[0]
            continue
        pictures = originals
        if arm.method not in PLAIN:
            pictures, figures = _protected(protocol, arm, training, originals, out, say)
            rows += cloak_rows(arm, protocol.artist, figures)
        for seed in protocol.seeds:
            model = protocol.model
            if arm.method != "base":
                settings = replace(recipe, seed=seed)
                model = str(_mimic(protocol, arm, pictures, texts, settings, out, say))
            made = _samples(protocol, arm, model, seed, out, say)
            say(f"judging {arm.key}", 0, 1)
            found, ranks = judged(arm, made, judge, protocol.artist, training, held_back, seed, protocol.method)
            rows += found
            samples.setdefault(arm.key, {})[seed] = ranks
    rows += compared(protocol.arms, samples, protocol.artist, protocol.method)
    settings_used = {
        **{k: v for k, v in asdict(protocol).items() if k not in ("art", "arms", "subjects")},
        "arms": [arm.key for arm in protocol.arms],
        "recipe": asdict(recipe),
        "training": [path.name for path in training],
        "judge_pictures": len(held_back),
        "subjects": list(protocol.subjects),
    }
    pipeline_folder = weights.require_pipeline(protocol.model)
    digests = {name: weights.sha256(weights.embedded(name)) for name in ("lpips-vgg", "judge-style")}
    digests |= {part: weights.sha256(pipeline_folder / part) for part in ("vae", "unet")}
    result = Result(
        "mimicry", __version__, protocol.seeds[0], protocol.device, settings_used, digests, rows,
        warnings(protocol.arms, rows),
    )  # fmt: skip
    result.save(out / "result.json")
    return result


def _protected(
    protocol: Protocol, arm: Arm, training: list[Path], originals: list[torch.Tensor], out: Path, say: Say
) -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
    """The arm's training pictures ``(1, 3, h, w)`` as read back from its files, and figures of the protected ones."""
    resolution = min(originals[0].shape[-2:])
    names = tuple(str(protocol.model) if name == "mimic" else name for name in protocol.extractors)
    about = [asdict(replace(arm, share=1.0)), names, protocol.effort, resolution, [_digest(x) for x in originals]]
    folder = out / "protected" / f"{replace(arm, share=1.0).key}-{_key(about)}"
    card = folder / "figures.json"
    if not card.exists():
        if arm.folder is None:
            settings = Settings(models=names, effort=protocol.effort, resolutions=(resolution,), device=protocol.device)
            made = protect(
                arm, Protector(settings), originals, 0, lambda done, total: say(f"protecting: {arm.key}", done, total)
            )
            files, figures = made.files, made.figures
        else:
            elsewhere = [_same_name(arm.folder, path) for path in training]
            files, figures = [png(working(read(path), resolution)) for path in elsewhere], []
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in zip(training, files, strict=True):
            save(data, folder / f"{path.stem}.png")
        save(to_json({"figures": figures}).encode(), card)
    figures = json.loads(card.read_text(encoding="utf-8"))["figures"]
    count = round(arm.share * len(training))  # the first ones of a shuffled list
    pictures = [
        working(read(folder / f"{path.stem}.png"), resolution) if i < count else original
        for i, (path, original) in enumerate(zip(training, originals, strict=True))
    ]
    return pictures, figures


def _same_name(folder: Path, path: Path) -> Path:
    found = [p for p in sorted(folder.glob(f"{path.stem}.*")) if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")]
    if not found:
        raise InputError(f"{folder}: expected a protected {path.name} (PNG, JPEG or WebP of the same name), found none")
    return found[0]


def _mimic(
    protocol: Protocol,
    arm: Arm,
    pictures: list[torch.Tensor],
    texts: list[str],
    settings: finetune.Settings,
    out: Path,
    say: Say,
) -> Path:
    key = _key([protocol.model, texts, asdict(settings), [_digest(x) for x in pictures]])
    folder = out / "mimics" / f"{arm.key}-{settings.seed}-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        finetune.train(
            models.load(protocol.model, protocol.device), protocol.model, pictures, texts, protocol.artist, folder,
            settings, on_step=lambda step: say(f"fine-tuning: {arm.key}, seed {settings.seed}", step.done, step.total),
        )  # fmt: skip
    return folder


def _samples(protocol: Protocol, arm: Arm, model: str, seed: int, out: Path, say: Say) -> list[Path]:
    """Generated pictures, the same prompts and seeds in every arm."""
    prompts = [
        captions.with_artist(subject, protocol.artist) for subject in protocol.subjects for _ in range(protocol.each)
    ]
    key = _key([Path(model).name, prompts, seed, protocol.sampling_steps, protocol.guidance])
    folder = out / "samples" / f"{arm.key}-{seed}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04}.png" for i in range(len(prompts))]
    start = next((i for i, path in enumerate(paths) if not path.exists()), len(paths))
    if start < len(paths):
        mimic = generate.load(model, protocol.device)
        for one in generate.generate(
            mimic.pipeline, [mimic.words(p) for p in prompts], seed=1000 * seed, steps=protocol.sampling_steps,
            guidance=protocol.guidance, start=start, batch=24,
        ):  # fmt: skip
            save(to_png(one), paths[one.index])
            say(f"generating: {arm.key}, seed {seed}", one.index + 1, len(paths))
    return paths


def _key(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _digest(picture: torch.Tensor) -> str:
    return hashlib.sha256(picture.cpu().numpy().tobytes()).hexdigest()[:16]
