"""What a worker does for a job: choose T, protect a picture, make a preview. Networks are kept between pictures."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from velatura.cloaks import Step
from velatura.diffusion import extractors
from velatura.images import Delivery, read_guarded, save
from velatura.jobs.experiments import Laboratory
from velatura.jobs.files import files
from velatura.jobs.lease import Lease
from velatura.jobs.records import Job, Picture
from velatura.protection import Protector, Settings
from velatura.protection.panels import png
from velatura.protection.protector import MOST_FOR_CENTROID, Look
from velatura.protection.results import deliver, delivered
from velatura.reports.places import report_at
from velatura.styles.choose import Choice, choose, remembered

# The settings that decide which networks are loaded.
_NETWORKS = ("models", "against", "resolutions", "catalogue", "device", "offline", "painter")
PREVIEW_STEPS = 12
PREVIEW_SIDE = 256  # px at the working resolution


class ModelTasks:
    """The work itself, without queues and retries. An ``order`` holds "settings", and how to deliver (``panels``)."""

    def __init__(self) -> None:
        self.kept: tuple[dict[str, Any], Protector] | None = None
        self.laboratory = Laboratory()

    def choose(self, job: Job) -> dict[str, Any]:
        """One T for the body of work, from up to two dozen of its pictures.

        Empty where none of them can be read, and, at once, where copies without a cloak are wanted.
        """
        settings = settings_of(job)
        if not settings.budget:
            return {}
        protector = self._protector(settings)
        looks: dict[int, Look] = {}
        every = max(1, -(-len(job.pictures) // MOST_FOR_CENTROID))
        for picture in job.pictures[::every]:
            with contextlib.suppress(Exception):  # reported when its turn comes
                files().pull(picture.source)
            if (look := protector.look_at(picture.source)) is not None:
                looks[picture.number] = look
        if not looks:
            return {}
        choice = protector.choose(list(looks.values()), earlier=_style_beside(job, protector.settings))
        style = {"name": choice.style.name, "artist": choice.style.artist}
        places = {number: look.place for number, look in looks.items()}
        kept = {"place": choice.centroid, "places": places, "models": protector.settings.models}
        return {"style": style, "reason": choice.reason, **kept}

    def protect(self, job: Job, picture: Picture, lease: Lease) -> dict[str, Any]:
        """Protect one picture and write it with its report; what was written before a restart is not made again."""
        settings = settings_of(job)
        panels = job.order.get("panels", ["sheet.png"])
        if not job.order.get("force"):
            report = delivered(picture.task, settings)
            if report is not None and all(picture.task.beside(kind).exists() for kind in panels):
                return summary(report)
        picture.output.parent.mkdir(parents=True, exist_ok=True)
        protector = self._protector(settings)
        choice = _choice(protector, job) if job.choice else None

        def on_step(step: Step) -> None:
            lease(step.index, step.total)

        done = deliver(protector, picture.task, choice, on_step, settings=settings, panels=panels, claim=lease.claim)
        return summary(done.report)

    def preview(self, job: Job, picture: Picture, lease: Lease) -> dict[str, Any]:
        """A few steps on a square of the picture, as it is at the working resolution: before.png and after.png.

        The order's ``x`` and ``y``, 0 to 1, say where in the picture the square's middle is.
        """
        settings = settings_of(job)
        if settings.style is None and settings.artist is not None:
            settings = replace(settings, style=remembered(settings.artist))
        settings = replace(settings, artist=None, effort="fast")  # a preview decides nothing for later
        protector = self._protector(settings)
        artwork = read_guarded(picture.source, page=settings.page)
        whole = protector.working(artwork)
        height, width = whole.shape[-2:]
        side = min(PREVIEW_SIDE, height, width) // 8 * 8
        top = round(min(max(job.order["y"] * height - side / 2, 0), height - side))
        left = round(min(max(job.order["x"] * width - side / 2, 0), width - side))
        part = whole[..., top : top + side, left : left + side]

        def on_step(step: Step) -> None:
            lease(step.index, step.total)

        delta, name = part - part, None
        about = protector.circumstances(artwork)
        if settings.budget and about.kind is not None and about.kind.nothing is None:
            choice = protector.choose([protector.look(artwork)], quick=True)
            name = choice.style.name
            target = protector.paint(whole, choice)[..., top : top + side, left : left + side]
            shown = None if about.shown is None else about.shown[..., top : top + side, left : left + side]
            recipe = replace(protector.recipe(about), steps=PREVIEW_STEPS, resolutions=())
            delta = protector.cloak(part, target, on_step, replace(about, shown=shown), recipe=recipe)
        picture.output.parent.mkdir(parents=True, exist_ok=True)
        with lease.claim():
            save(png(part), picture.task.beside("before.png"))
            save(png((part + delta).clamp(0, 1)), picture.output)
        return {"style": name, "box": [left / width, top / height, side / width, side / height]}

    def experiment(self, job: Job, picture: Picture, lease: Lease) -> dict[str, Any]:
        """A part of a plan of the evaluation."""
        self.kept = None  # a mimic's training needs the memory
        return self.laboratory(job, picture, lease)

    def _protector(self, settings: Settings) -> Protector:
        """A protector of these settings, on the networks that are loaded already if they are the same."""
        networks = {name: getattr(settings, name) for name in _NETWORKS}
        if self.kept is None or self.kept[0] != networks:
            self.kept = None  # frees the last ones' memory before the next are loaded
            self.kept = (networks, Protector(settings))
        # A copy: a preview must not change the settings of the batch that it interrupts.
        protector = copy.copy(self.kept[1])
        found = protector.settings
        protector.settings = replace(settings, models=found.models, resolutions=found.resolutions)
        return protector


def _choice(protector: Protector, job: Job) -> Choice:
    kept, s = job.choice, protector.settings
    name, reason = kept["style"]["name"], kept["reason"]
    return choose(protector.catalogue, kept["place"], band=s.drawn_from, seed=s.seed, name=name, reason=reason)


def _style_beside(job: Job, settings: Settings) -> str | None:
    """The style of results that lie where the job's will: pictures that join a folder later get the same."""
    for folder in sorted({picture.output.parent for picture in job.pictures}):
        for path in sorted(folder.glob("*.report.json")):
            report = report_at(path)
            if report is not None and report.get("settings_fingerprint") == settings.fingerprint() and report["style"]:
                return str(report["style"]["name"])
    return None


def settings_of(job: Job) -> Settings:
    """The settings of an order, as JSON gave them back."""
    tree = dict(job.order["settings"])
    known = {field.name for field in fields(Settings)}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in tree.items() if k in known}
    if values.get("catalogue"):
        values["catalogue"] = Path(values["catalogue"])
    values["delivery"] = Delivery(**tree.get("delivery", {}))
    # "auto" means another model once a better one is on disk; a job stays with what it began with.
    settings = Settings(**values)
    models = job.choice.get("models") or extractors.resolve(settings.models, settings.against)
    return replace(settings, models=tuple(models))


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """What a list shows of a report."""
    names = ("lpips", "lpips_crops", "flip", "jod_lost", "psnr_db")
    figures = {name: value for name in names if (value := report["figures"].get(name)) is not None}
    style = {key: report["style"][key] for key in ("name", "artist")} if report["style"] else None
    told = ("verdict", "flags", "notes", "models", "families", "unknown")
    shown = {name: report[name] for name in told} | {"kind": report["kind"]["name"]}
    return shown | {"figures": figures, "style": style}
