"""Experiments of the evaluation as jobs: a plan's parts spread over the workers, each after those that it needs.

A part that is done sees to those that were waiting for it, by workflows whose ids are made of the part: whoever says it
twice says it once.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbos import DBOS

from velatura.errors import InputError, VelaturaError
from velatura.jobs.attempt import Work, WorkerContext, attempt, line
from velatura.jobs.files import files
from velatura.jobs.lease import Lease
from velatura.jobs.queue import VERSION, JobQueue, queue_of, workflow_id
from velatura.jobs.records import Job, Picture

if TYPE_CHECKING:
    from velatura.evaluation import Experiment, Setup
    from velatura.evaluation.plan import Part

_PLACES = ("purifier", "pairs")  # of an experiment, each a path or None
KEEP_DAYS = 3650.0  # the folder is the user's; the entry is only a record of it


def order(queue: JobQueue, setup: Setup) -> Job:
    """Queue the plan of ``setup``; its output folder must be seen by all workers, as the artist's pictures must.

    Otherwise only this machine's workers do it. Models must be on each machine.
    """
    from velatura.evaluation.plan import parts

    if files().remote is not None:
        raise InputError(f"files {files().url}: expected a folder that all workers see, since an experiment shares it")
    experiment, out = setup.experiment, setup.out.resolve()
    whole = parts(setup)
    art = [path.resolve() for path in (*experiment.art, *experiment.contents, *_elsewhere(experiment))]
    ordered = {
        "protocol": _kept(experiment),
        "paths": [_stored(path) for path in art],
        "folder": str(out),
        "out": _stored(out),
        "after": [list(part.after) for part in whole],
        "digests": setup.digests,
        "plugins": setup.plugins,
    }
    tasks = [Picture(number, part.what, out, out, "result") for number, part in enumerate(whole)]
    return queue.submit(tasks, ordered, kind="evaluate", keep_days=KEEP_DAYS)


def register(context: WorkerContext, work: Work) -> None:
    """Tell DBOS the workflows of experiments; once in a process, before its launch."""
    store = context.store

    @DBOS.step(name="look")
    def look(id: str, run: int) -> list[int]:
        """The parts that can begin; ends the job where none is left to do, or one failed."""
        context.check()
        job = store.job(id)
        if job is None or store.is_stopped(id, run):
            return []
        if failed := [p for p in job.pictures if p.state == "failed"]:
            reason = f"{failed[0].name}: {failed[0].error}"
            store.set_job(id, run, state="failed", reason=reason, finished=time.time())
            return []
        done = {p.number for p in job.pictures if p.state == "done"}
        if len(done) == len(job.pictures):
            store.set_job(id, run, state="done", finished=time.time())
        after = job.order["after"]
        return [p.number for p in job.pictures if p.number not in done and done.issuperset(after[p.number])]

    @DBOS.step(name="do_part")
    def do_part(id: str, run: int, number: int) -> None:
        try:
            attempt(context, work, id, run, number)
        except VelaturaError as error:  # the plan is wrong, and will be for every part
            store.set_job(id, run, state="failed", reason=line(error), finished=time.time())

    def go_on(id: str, run: int, queue: str) -> None:
        for number in look(id, run):
            name = f"{workflow_id(id, run)}:{number}"
            options = {"workflow_name": "part", "queue_name": queue, "workflow_id": name, "app_version": VERSION}
            DBOS.enqueue_workflow_with_options(options, id, run, number, queue)  # type: ignore[arg-type]

    @DBOS.workflow(name="part")
    def part(id: str, run: int, number: int, queue: str) -> None:
        do_part(id, run, number)
        go_on(id, run, queue)

    @DBOS.workflow(name="evaluate")
    def evaluate(id: str, run: int, numbers: list[int]) -> None:
        if store.set_job(id, run, state="working"):
            job = store.job(id)
            assert job is not None
            go_on(id, run, queue_of(store.engine, job))


class Laboratory:
    """Does the parts; the setup of the last plan is kept, since making one reads all its pictures."""

    def __init__(self) -> None:
        self.kept: tuple[str, list[Part]] | None = None

    def __call__(self, job: Job, picture: Picture, lease: Lease) -> dict[str, Any]:
        if self.kept is None or self.kept[0] != job.id:
            self.kept = (job.id, _parts(job))
        _, whole = self.kept
        if whole[picture.number].what != picture.name:
            raise InputError(f"expected part {picture.name!r}, got {whole[picture.number].what!r}: another version?")
        whole[picture.number].do(lambda what, done, total: lease(done, total))
        return {}


def _parts(job: Job) -> list[Part]:
    from velatura.diffusion.device import pick_device
    from velatura.evaluation import Arm, Experiment, Setup
    from velatura.evaluation.plan import parts

    tree = dict(job.order["protocol"])
    for name in ("art", "contents"):
        tree[name] = [_found(text) for text in tree[name]]
    tree |= {name: _found(tree[name]) if tree[name] else None for name in _PLACES}
    arms = []
    for arm in tree.pop("arms"):
        folder = _found(arm["folder"]) if arm["folder"] else None
        arms.append(Arm(**arm | {"folder": folder, "on": tuple(arm["on"])}))
    for name in ("recipes", "extractors", "subjects", "seeds", "judges"):
        tree[name] = tuple(tree.get(name, ()))
    setup = Setup(Experiment(**tree | {"arms": arms, "device": pick_device(tree["device"])}), _found(job.order["out"]))
    if setup.digests != job.order["digests"]:
        raise InputError(f"model {tree['model']}: this machine's differs from that of the machine which ordered it")
    for title, digest in job.order.get("plugins", {}).items():
        if setup.plugins.get(title) != digest:
            raise InputError(f"{title}: this machine's differs from that of the machine which ordered it")
    return parts(setup)


def _kept(experiment: Experiment) -> dict[str, Any]:
    """As JSON; the device is each worker's own."""
    tree = {name: value for name, value in asdict(experiment).items() if name != "arms"}
    tree |= {name: [_stored(path.resolve()) for path in tree[name]] for name in ("art", "contents")}
    tree |= {name: _stored(tree[name].resolve()) if tree[name] else None for name in _PLACES}
    tree["device"] = "auto"
    arms = [asdict(arm) | {"folder": _stored(arm.folder.resolve()) if arm.folder else None} for arm in experiment.arms]
    return tree | {"arms": arms}


def _elsewhere(experiment: Experiment) -> list[Path]:
    found = [*(arm.folder for arm in experiment.arms), *(getattr(experiment, name) for name in _PLACES)]
    return [path for path in found if path is not None]


def _stored(path: Path) -> str:
    return files().stored(path).decode("utf-8", "surrogateescape")


def _found(text: str) -> Path:
    return files().found(text.encode("utf-8", "surrogateescape"))
