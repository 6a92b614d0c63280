"""The stages of an experiment, in order, with what is there already, and what progress calls each of them."""

from __future__ import annotations

from collections.abc import Callable

from velatura.evaluation.arms import PLAIN, Arm
from velatura.evaluation.cost import Task
from velatura.evaluation.protocol import Setup, untreated, whole_set
from velatura.evaluation.recipes import Way


def training_of(arm: Arm, way: Way, seed: int) -> str:
    """What progress calls the training of a mimic, which several ways to generate may share."""
    return f"fine-tuning: {arm.key}, {way.training}, seed {seed}"


def hardening_of(way: Way) -> str:
    """What progress calls the robust training of the base model."""
    return f"hardening: {way.suffix.removesuffix(' img2img').strip()}"


def named(arm: Arm, way: Way, seed: int) -> str:
    """One mimic's pictures, as progress names them."""
    return f"{arm.key}, {way.label}, seed {seed}"


def tasks(setup: Setup) -> list[Task]:
    """The plan, stage by stage, with what is there already; the cost of each is told by its ``kind``."""
    found: dict[str, Task] = {}

    def add(task: Task) -> None:
        found.setdefault(task.what, task)

    p, count = setup.protocol, len(setup.training)
    add(Task("teaching the judge", f"teaching the judge on {p.device}", len(setup.held_back)))
    for arm in p.arms:
        if arm.method not in PLAIN:
            done = count if setup.card(arm).exists() else 0
            own = "+".join(setup.extractors(arm))
            kind = f"protecting {arm.method}, {setup.effort(arm)}, {setup.resolution} px, {own} on {p.device}"
            add(Task(f"protecting: {untreated(arm).key}", kind, count, done, arm))
        if arm.dropping:
            units = count + 2 * len(setup.pairs)
            done = units if setup.sifted(arm).exists() else 0
            add(Task(f"sifting: {setup.sifted(arm).stem}", f"sifting on {p.device}", units, done))
        if arm.then:
            done = count if (setup.treated(arm) / "figures.json").exists() else 0
            kind = f"treating by {arm.then}, {setup.side} px on {p.device}"
            add(Task(f"treating: {whole_set(arm).key}", kind, count, done, (arm.then, setup.side)))
        if arm.method == "real":
            add(Task("judging: real", f"judging on {p.device}", count))
            continue
        for way in setup.ways:
            for seed in p.seeds:
                _add_mimic(setup, add, arm, way, seed)
    return list(found.values())


def _add_mimic(setup: Setup, add: Callable[[Task], None], arm: Arm, way: Way, seed: int) -> None:
    s, p = way.settings, setup.protocol
    made, folder = arm.trained_on, setup.samples(arm, way, seed)
    count = len(setup.prompts(way))
    there = len(list(folder.glob("[0-9]*.png")))
    first = there if not arm.denoised else len(list(setup.samples(made, way, seed).glob("[0-9]*.png")))
    on = f"{p.model} {s.resolution} px on {p.device}"
    trained = first == count or (arm.method != "base" and setup.mimic(arm, way, seed).exists())
    if h := way.hardening:
        done = 2 * h.steps if trained or setup.hardened(way).exists() else 0
        add(Task(hardening_of(way), f"hardening, {h.batch} of {on}", 2 * h.steps, done, way))
    if arm.method != "base":
        done = s.steps if trained else 0
        add(Task(training_of(made, way, seed), f"fine-tuning {s.method}, {s.batch} of {on}", s.steps, done, way))
    how = "img2img" if way.recipe.strength is not None else "words"
    kind = f"generating from {how}, {p.sampling_steps} steps, {on}"
    add(Task(f"generating: {named(made, way, seed)}", kind, count, first, way))
    if arm.denoised:
        kind = f"treating by {arm.denoised}, {s.resolution} px on {p.device}"
        add(Task(f"denoising: {named(arm, way, seed)}", kind, count, there, (arm.denoised, s.resolution)))
    judged = count if setup.verdict(arm, way, seed).exists() else 0
    add(Task(f"judging: {named(arm, way, seed)}", f"judging on {p.device}", count, judged))
