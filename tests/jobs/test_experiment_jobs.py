"""Plans as jobs: each part after those that it needs, and once; with a stand-in, and in earnest (slow)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos", reason="needs the extra web")
from velatura.errors import InputError
from velatura.jobs.queue import JobQueue
from velatura.jobs.records import Job, Picture

PATIENCE = 300.0
# Two arms that share nothing, then what needs both: protect, train and paint of each.
AFTER = {
    "protect": [],
    "train": ["protect"],
    "paint": ["train"],
    "clean": [],
    "slow": ["clean"],
    "end": ["paint", "slow"],
}


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobQueue]:
    monkeypatch.setenv("VELATURA_DATA", str(tmp_path / "data"))
    queue = JobQueue()
    yield queue
    for worker in WORKERS:
        worker.kill()
        worker.wait()
    WORKERS.clear()


WORKERS: list[subprocess.Popen[bytes]] = []


def start(queue: JobQueue, *command: object) -> subprocess.Popen[bytes]:
    WORKERS.append(subprocess.Popen([sys.executable, *map(str, command)]))
    return WORKERS[-1]


def order(queue: JobQueue, folder: Path, after: dict[str, list[str]]) -> Job:
    numbers = {name: number for number, name in enumerate(after)}
    parts = [Picture(number, name, folder, folder, "result") for name, number in numbers.items()]
    return queue.submit(parts, {"after": [[numbers[n] for n in needs] for needs in after.values()]}, kind="evaluate")


def wait(queue: JobQueue, job: Job, until: Callable[[Job], bool] = lambda job: not job.unfinished) -> Job:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        now = queue.store.job(job.id)
        assert now is not None
        if until(now):
            return now
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE} s in vain: {now}")


def test_parts_come_after_what_they_need_and_once_whatever_happens(queue: JobQueue, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    script = Path(__file__).with_name("stand_in.py")
    job = order(queue, tmp_path, AFTER)
    worker = start(queue, script, queue.url, diary)
    wait(queue, job, lambda job: any(p.name == "slow" and p.step >= 1 for p in job.pictures))
    worker.kill()
    worker.wait()
    start(queue, script, queue.url, diary)
    done = wait(queue, job)
    assert done.state == "done"
    notes = diary.read_text().splitlines()
    for name, needs in AFTER.items():
        assert notes.count(f"end {name}") == 1
        assert notes.count(f"begin {name}") == (2 if name == "slow" else 1)
        for needed in needs:
            assert notes.index(f"end {needed}") < notes.index(f"begin {name}")


def test_a_part_that_fails_ends_the_plan_and_resume_goes_on(queue: JobQueue, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    job = order(queue, tmp_path, {"a": [], "bad": ["a"], "end": ["bad"]})
    start(queue, Path(__file__).with_name("stand_in.py"), queue.url, diary).wait(PATIENCE)
    failed = wait(queue, job)
    assert failed.state == "failed"
    assert "the model is not here" in failed.reason
    assert [p.state for p in failed.pictures] == ["done", "failed", "waiting"]
    (tmp_path / "mended").touch()
    assert queue.resume(job.id)
    start(queue, Path(__file__).with_name("stand_in.py"), queue.url, diary)
    assert wait(queue, job).state == "done"
    assert diary.read_text().splitlines().count("begin a") == 1


def test_every_path_of_a_protocol_is_kept_as_json(queue: JobQueue, tmp_path: Path) -> None:
    from velatura.evaluation import Arm, Experiment
    from velatura.jobs import experiments

    places = {name: tmp_path / name for name in ("purifier", "pairs")}
    experiment = Experiment([tmp_path / "a.png"], "ada", [Arm.parse(f"mine={tmp_path}")], **places)
    kept = json.loads(json.dumps(experiments._kept(experiment)))
    assert {name: experiments._found(kept[name]) for name in places} == places
    assert experiments._elsewhere(experiment) == [tmp_path, *places.values()]


def test_a_plug_in_that_is_another_on_this_machine_is_refused(
    queue: JobQueue, tmp_path: Path, tiny_model: Path, make_scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from velatura import plugins
    from velatura.evaluation import Arm, Experiment, Setup, plugged
    from velatura.images import save
    from velatura.jobs import experiments
    from velatura.protection.panels import png

    monkeypatch.chdir(tmp_path)
    file = tmp_path / "ordered.py"
    file.write_text("def make(pictures, targets, extractors, budget, seed):\n    return targets\n")
    art = [tmp_path / f"{i:02}.png" for i in range(13)]
    for i, path in enumerate(art):
        save(png(make_scene(64, 72, 20 + i)), path)
    arms = [Arm.parse("ordered.py:make:0.1")]
    setup = Setup(Experiment(art, "ada", arms, model=str(tiny_model), training=4), tmp_path / "out")
    job = experiments.order(queue, setup)
    whole = experiments._parts(job)
    assert [part.what for part in whole] == [picture.name for picture in job.pictures]
    file.write_text(f"{file.read_text()}\n# of another day\n")
    for one in (plugins.find, plugged._plugged):
        one.cache_clear()
    with pytest.raises(InputError, match=r"^cloak ordered\.py:make: this machine's differs"):
        experiments._parts(job)


@pytest.mark.slow
def test_a_plan_of_the_evaluation_in_earnest(
    queue: JobQueue, tmp_path: Path, tiny_model: Path, make_scene: Callable[..., Any]
) -> None:
    from velatura.evaluation import Arm, Experiment, Setup
    from velatura.evaluation.plan import carry_out
    from velatura.images import save
    from velatura.jobs.experiments import order as order_plan
    from velatura.protection.panels import png

    art = [tmp_path / f"ada/{i:02}.png" for i in range(13)]
    art[0].parent.mkdir()
    for i, path in enumerate(art):
        save(png(make_scene(128, 136, 20 + i)), path)
    arms = [Arm.parse(text) for text in ("base", "real", "clean", "noise:0.1 then jpeg quality=60")]
    setup = Setup(
        Experiment(
            art, "ada", arms, model=str(tiny_model), changes={"steps": 2, "batch": 2, "resolution": 64}, training=4,
            effort="fast", subjects=("a cat",), each=1, sampling_steps=2,
        ),
        tmp_path / "out",
    )  # fmt: skip
    job = order_plan(queue, setup)
    assert [part.name.split(":")[0] for part in job.pictures] == [
        *("generating", "fine-tuning", "generating"),
        *("protecting", "treating", "fine-tuning", "generating", "judging"),
    ]
    assert job.order["after"] == [[], [], [1], [], [3], [4], [5], list(range(7))]
    start(queue, "-m", "velatura.jobs.worker")
    done = wait(queue, job)
    assert (done.state, done.reason) == ("done", "")
    tree = json.loads((tmp_path / "out/result.json").read_text())
    assert {row["arm"] for row in tree["rows"]} >= {"base", "real", "clean", "noise"}
    said: list[str] = []
    again = carry_out(setup, lambda what, done, total: said.append(what))
    assert not [what for what in said if not what.startswith(("judging", "teaching"))]  # all was there
    assert [row.value for row in again.rows] == pytest.approx(
        [row["value"] for row in tree["rows"]], rel=1e-4, nan_ok=True
    )
