"""The experiment: protect, fine-tune, generate, judge, arm by arm. Resumable from its folder alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velatura import __version__, judges, weights
from velatura.diffusion import clip, extractors
from velatura.diffusion import pipeline as models
from velatura.evaluation import measures
from velatura.evaluation.arms import PLAIN, Arm, changed, protect
from velatura.evaluation.figures import (
    Look,
    Panel,
    cloak_rows,
    compared,
    dropped_rows,
    judged,
    known_as,
    view_rows,
)
from velatura.evaluation.methods import SEEN, SETTINGS, made_with
from velatura.evaluation.protocol import PAINTING, Protocol, Say, Setup, untreated, whole_set
from velatura.evaluation.recipes import Way
from velatura.evaluation.schedule import named, training_of
from velatura.images import read, save, working
from velatura.judges import embedded
from velatura.judges.clip import genre_ranks
from velatura.judges.views import opened, plain
from velatura.mimicry import finetune, generate
from velatura.mimicry.pictures import to_png
from velatura.perception.style import style
from velatura.protect import Protector, Settings
from velatura.protect.panels import png
from velatura.reports import pictures
from velatura.reports.checks import doubts
from velatura.reports.result import Result, Row, to_json
from velatura.reports.tables import Cell


def run(protocol: Protocol, out: Path, say: Say = lambda what, done, total: None) -> Result:
    """Everything that is not yet in ``out``, and the result (also written to ``out/result.json``)."""
    return carry_out(Setup(protocol, out), say)


def carry_out(setup: Setup, say: Say) -> Result:
    """The same, of a setup whose plan was shown already."""
    protocol = setup.protocol
    judge = _judge(setup, say)
    training, held_back = list(opened(setup.training)), list(opened(setup.held_back))  # large files, for every arm
    panel = Panel(judge, protocol.artist, training, held_back, _genre(protocol))
    rows: list[Row] = []
    originals: Look | None = None  # as the judge sees them, once for all arms
    samples: dict[str, dict[str, dict[int, Tensor]]] = {}
    for arm in protocol.arms:
        if arm.method == "real":
            say("judging: real", 0, len(setup.training))
            rows += judged(arm, setup.training, panel)[0]
            say("judging: real", len(setup.training), len(setup.training))
            continue
        if arm.method not in PLAIN:
            figures = protect_arm(setup, untreated(arm), say)
            if not arm.measures:
                rows += cloak_rows(arm, protocol.artist, figures)
        if arm.dropping:
            rows += dropped_rows(arm, protocol.artist, measures.counts(setup, arm, measures.sift(setup, arm, say)[1]))
        if arm.then:
            treated = measures.treat(setup, arm, say)
            if arm == whole_set(arm):
                rows += cloak_rows(arm, protocol.artist, treated)
        if arm == whole_set(arm) and (arm.then or arm.method not in PLAIN):
            if originals is None:
                originals = _look(judge, _seen(setup, None))
            rows += view_rows(arm, originals, _look(judge, _seen(setup, arm)), judge, protocol.artist)
        for way in setup.ways:
            for seed in protocol.seeds:
                found, ranks = _verdict(setup, arm, way, seed, panel, say)
                rows += found
                samples.setdefault(way.label, {}).setdefault(arm.key, {})[seed] = ranks
    for label, ranks_of in samples.items():
        rows += compared(protocol.arms, ranks_of, protocol.artist, label)
    result = Result(
        "mimicry", __version__, min(protocol.seeds, default=0), protocol.device, _settings(setup), _weights(setup),
        rows, [doubt.text for doubt in doubts(rows, SEEN)],
    )  # fmt: skip
    save(to_json(_index(setup)).encode(), setup.out / pictures.NAME)
    result.save(setup.out / "result.json")
    return result


def _verdict(setup: Setup, arm: Arm, way: Way, seed: int, panel: Panel, say: Say) -> tuple[list[Row], Tensor]:
    """What the judges say of an arm's pictures; kept, so that a plan that grows judges what is new."""
    made, kept = paint(setup, arm, way, seed, say), setup.verdict(arm, way, seed)
    if kept.exists():
        tree = json.loads(kept.read_text(encoding="utf-8"))
        return [Row(**row) for row in tree["rows"]], torch.tensor(tree["ranks"])
    doing = f"judging: {named(arm, way, seed)}"
    say(doing, 0, len(made))
    rows, ranks = judged(arm, made, panel, seed, way.label)
    kept.parent.mkdir(parents=True, exist_ok=True)
    save(json.dumps({"rows": [asdict(row) for row in rows], "ranks": ranks.tolist()}).encode(), kept)
    say(doing, len(made), len(made))
    return rows, ranks


def _judge(setup: Setup, say: Say) -> judges.StyleJudge:
    say("teaching the judge", 0, len(setup.held_back))
    name = known_as(setup.protocol.artist, embedded.load().artists)
    return judges.fit(
        {name: setup.held_back}, device=setup.protocol.device,
        on_picture=lambda done, total: say("teaching the judge", done, total),
    )  # fmt: skip


def _genre(protocol: Protocol) -> Callable[..., Tensor] | None:
    if protocol.genre is None:
        return None
    model, genre = clip.load(protocol.clip, protocol.device), protocol.genre
    return lambda made: genre_ranks(list(made), genre, model)


def protect_arm(setup: Setup, arm: Arm, say: Say) -> list[dict[str, Any]]:
    """Figures of the arm's pictures, which are written first where they are not there yet."""
    folder, protocol, card = setup.protected(arm), setup.protocol, setup.card(arm)
    if not card.exists():
        doing = f"protecting: {arm.key}"
        say(doing, 0, len(setup.training))
        originals = [working(read(path), setup.side) for path in setup.training]
        if arm.folder is None:
            settings = Settings(
                models=setup.extractors(arm), effort=setup.effort(arm), resolutions=(setup.resolution,),
                style=setup.style(arm), device=protocol.device,
            )  # fmt: skip
            made = protect(
                arm, Protector(settings), originals, 0, lambda done, total: say(doing, done, total),
                eye=extractors.load(protocol.model, protocol.device), warm_start=setup.warm_start(arm),
            )  # fmt: skip
            files, figures, style = made.files, made.figures, made.style
        else:
            altered = [working(read(path), setup.side) for path in setup.elsewhere(arm)]
            files, style = [png(x) for x in altered], None
            figures = [changed(x, y) for x, y in zip(originals, altered, strict=True) if x.shape == y.shape]
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in zip(setup.files, files, strict=True):
            save(data, folder / name)
        save(to_json({"figures": figures, "style": style}).encode(), card)
    found: list[dict[str, Any]] = json.loads(card.read_text(encoding="utf-8"))["figures"]
    return found


def _look(judge: judges.StyleJudge, pictures: Sequence[Path | Tensor]) -> Look:
    styles = [style(view) for view in plain(pictures, judge.extractor)]
    return Look(judge.places(pictures), torch.cat(styles))


def _seen(setup: Setup, arm: Arm | None) -> list[Path | Tensor]:
    """The arm's pictures (None: untouched) as the mimic's model sees them; judges look through the miniature's eye."""
    files = list(setup.training)
    if arm is not None:
        folder = setup.treated(arm) if arm.then else setup.protected(arm)
        files = [folder / name for name in setup.files]
    if setup.digests["vae"] == weights.sha256(weights.embedded("mini")):
        return list(files)
    eye = extractors.load(setup.protocol.model, setup.protocol.device)
    with torch.no_grad():
        return [eye.view(working(read(file), setup.resolution).to(eye.device)).cpu() for file in files]


def _trained_on(setup: Setup, arm: Arm, way: Way, say: Say) -> tuple[list[Tensor], list[str]]:
    """The arm's training pictures ``(1, 3, h, w)`` at the mimic's resolution, as in their files, and their captions."""
    files = measures.found(setup, arm)
    if arm.then:
        files = [setup.treated(arm) / name for name in setup.files]
    kept = measures.sift(setup, arm, say)[0] if arm.dropping else list(range(len(files)))
    kept = kept[:1] if way.recipe.one else kept
    return [working(read(files[i]), way.settings.resolution) for i in kept], [setup.texts[i] for i in kept]


def train_mimic(setup: Setup, arm: Arm, way: Way, seed: int, say: Say) -> Path:
    folder, protocol = setup.mimic(arm, way, seed), setup.protocol
    if not folder.exists():
        base = measures.base(setup, way, say)
        doing, settings = training_of(arm, way, seed), replace(way.settings, seed=seed)
        pictures, texts = _trained_on(setup, arm, way, say)
        folder.parent.mkdir(parents=True, exist_ok=True)
        finetune.train(
            models.load(base, protocol.device), base, pictures, texts, protocol.artist, folder, settings,
            on_step=lambda step: say(doing, step.done, step.total),
        )  # fmt: skip
    return folder


def paint(setup: Setup, arm: Arm, way: Way, seed: int, say: Say) -> list[Path]:
    """Generated pictures, the same prompts and seeds in every arm; a mimic is trained only where some are missing."""
    if arm.denoised:
        made = paint(setup, arm.trained_on, way, seed, say)
        doing = f"denoising: {named(arm, way, seed)}"
        return measures.denoise(setup, arm.denoised, made, setup.samples(arm, way, seed), doing, say)
    protocol, prompts, folder = setup.protocol, setup.prompts(way), setup.samples(arm, way, seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04}.png" for i in range(len(prompts))]
    start = next((i for i, path in enumerate(paths) if not path.exists()), len(paths))
    if start == len(paths):
        return paths
    model = measures.base(setup, way, say) if arm.method == "base" else str(train_mimic(setup, arm, way, seed, say))
    doing = f"generating: {named(arm, way, seed)}"
    say(doing, start, len(paths))
    mimic = generate.load(model, protocol.device)
    texts, first, side = [mimic.words(prompt) for prompt in prompts], 1000 * seed, way.settings.resolution
    if way.recipe.strength is None:
        painted = generate.generate(
            mimic.pipeline, texts, seed=first, steps=protocol.sampling_steps, guidance=setup.guidance,
            resolution=side, start=start, batch=24,
        )  # fmt: skip
    else:
        contents = [x for path in protocol.contents for x in [working(read(path), side)] * protocol.each]
        painted = generate.restyle(
            mimic.pipeline, contents, texts, seed=first, steps=protocol.sampling_steps, guidance=setup.guidance,
            strength=way.recipe.strength, start=start,
        )  # fmt: skip
    for one in painted:
        save(to_png(one), paths[one.index])
        say(doing, one.index + 1, len(paths))
    return paths


def _settings(setup: Setup) -> dict[str, Any]:
    protocol = setup.protocol
    left_out = ("art", "arms", "subjects", "contents", "purifier", "pairs")
    return {
        **{key: value for key, value in asdict(protocol).items() if key not in left_out},
        "arms": [arm.key for arm in protocol.arms],
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
        "subjects": list(protocol.subjects),
        "contents": [path.name for path in protocol.contents],
        "pairs": len(setup.pairs) if protocol.pairs else 0,
        "targets": _targets(setup),
        "methods": _methods(setup),
        "at_once": [arm.key for arm in protocol.arms if setup.warm_start(arm)],
        "optimised_through": {arm.method: SEEN[arm.method] for arm in protocol.arms if arm.method in SEEN},
    }


def _methods(setup: Setup) -> dict[str, Any]:
    """What each cloak was made with, by method and its own effort; less the budget, which the arm says."""
    found = {}
    for arm in (arm for arm in setup.protocol.arms if arm.method in SETTINGS):
        name = arm.method + (f" at {arm.at}" if arm.at else "")
        found[name] = made_with(setup.cloak_settings(arm))
    return found


def _targets(setup: Setup) -> dict[str, str]:
    """T of each cloak, by arm."""
    found = {}
    for arm in setup.protocol.arms:
        if arm.folder is None and arm.method not in (*PLAIN, "noise"):
            card = json.loads(setup.card(arm).read_text(encoding="utf-8"))
            found[untreated(arm).key] = card["style"]
    return found


def _weights(setup: Setup) -> dict[str, str]:
    cloaked = [arm for arm in setup.protocol.arms if arm.folder is None and arm.method not in PLAIN]
    embedded_ones = ["lpips-alex", "lpips-vgg", "judge-style", "mini", *(PAINTING if cloaked else ())]
    digests = {name: weights.sha256(weights.embedded(name)) for name in embedded_ones}
    if setup.protocol.genre is not None and (file := clip.weights_file(setup.protocol.clip)):
        digests["clip"] = weights.sha256(file)
    names = {name for arm in cloaked for name in setup.extractors(arm)} - {setup.protocol.model}
    if any(map(setup.warm_start, setup.protocol.arms)):
        digests["instant"] = weights.sha256(weights.embedded("instant"))
    for words in {words for arm in setup.protocol.arms for words in (arm.then, arm.denoised) if words}:
        digests |= setup.attack(words).weights
    return digests | setup.digests | {name: weights.sha256(weights.require(name)) for name in sorted(names)}


def _index(setup: Setup) -> dict[str, Any]:
    """Where pictures lie, for reports that are made from this folder (``reports/pictures.py``)."""

    def label(arm: Arm) -> str:
        return Cell(None, arm.kind, arm.cloak, arm.budget, None, arm.measures or None, {}).label

    arms = [arm for arm in setup.protocol.arms if arm.method != "real"]
    altered = {setup.protected(arm).name: arm for arm in arms if arm.method not in PLAIN}
    return {
        "prompts": {way.label: setup.prompts(way) for way in setup.ways},
        "arms": [
            {
                "label": label(arm), "recipe": way.label, "seed": seed,
                "folder": setup.samples(arm, way, seed).relative_to(setup.out).as_posix(),
            }
            for way in setup.ways for arm in arms for seed in setup.protocol.seeds
        ],
        "art": [str(path.resolve()) for path in setup.training],
        "protected": [
            {"label": label(untreated(arm)), "folder": f"protected/{name}"} for name, arm in altered.items()
        ],
    }  # fmt: skip
