"""The application without a worker: jobs stay where the tests put them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra web")
pytest.importorskip("dbos", reason="needs the extra web")
from fastapi.testclient import TestClient

from velatura.images import read
from velatura.jobs.queue import JobQueue
from velatura.protection.panels import png
from velatura.server.app import Launch, create_app
from velatura.server.schema import PANELS
from velatura.server.uploads import Limits

PORT, TOKEN = 8377, "the-token-of-this-launch"
HOST = f"127.0.0.1:{PORT}"
ORIGIN, PASSWORD = "https://studio.example", "correct horse battery"
SUMMARY = {
    "verdict": {
        "word": "protected",
        "sentence": "Stable Diffusion 1 and 2 see 31% of the way to Caravaggio, SDXL 24%; "
        "a viewer hardly sees the change (0.6 JOD, estimated)",
        "advice": "",
    },
    "flags": ["more visible than asked for in the saved file: ꟻLIP 0.090 > 0.080"],
    "notes": ["as jpeg the file keeps 55% of the cloak: PNG keeps it all"],
    "figures": {"lpips": 0.1, "lpips_crops": 0.12, "flip": 0.06, "jod_lost": 0.3, "psnr_db": 24.0},
    "kind": "colour picture",
    "style": {"name": "caravaggio", "artist": "Caravaggio"},
    "models": ["surrogate"],
    "families": {
        "sd15": {"progress": 0.31, "progress_noise": 0.02, "seen_by": "surrogate"},
        "sdxl": {"progress": 0.24, "progress_noise": -0.01, "seen_by": "surrogate"},
    },
    "unknown": "What is not known: how the full autoencoders see it.",
}


@dataclass
class Site:
    """The application, a client that has the token, and the queue behind it."""

    client: TestClient
    queue: JobQueue
    picture: bytes
    data: Path

    def hand_in(self, name: str = "one.png", data: bytes | None = None) -> dict[str, Any]:
        answer = self.client.post("/api/pictures", params={"name": name}, content=data or self.picture)
        assert answer.status_code == 201, answer.text
        tree: dict[str, Any] = answer.json()
        return tree

    def order(self, *names: str, **wish: Any) -> dict[str, Any]:
        ids = [self.hand_in(name)["id"] for name in names or ("one.png",)]
        answer = self.client.post("/api/jobs", json={"pictures": ids, **wish})
        assert answer.status_code == 201, answer.text
        tree: dict[str, Any] = answer.json()
        return tree

    def finish(self, id: str) -> None:
        """What a worker would leave."""
        job = self.queue.store.job(id)
        assert job is not None
        for picture in job.pictures:
            picture.output.parent.mkdir(parents=True)
            picture.output.write_bytes(self.picture)
            for kind in PANELS:
                picture.task.beside(kind).write_bytes(self.picture)
            picture.task.beside("report.json").write_text(json.dumps({"velatura": "x"}))
            self.queue.store.set_picture(id, picture.number, state="done", summary=SUMMARY, seconds=2.0)
        choice = {"style": SUMMARY["style"], "reason": "drawn with seed 0"}
        self.queue.store.set_job(id, 1, state="done", choice=choice, finished=1.0)

    def files(self) -> list[str]:
        kept = ("jobs.sqlite", "worker")
        inside = (p.relative_to(self.data).as_posix() for p in self.data.rglob("*") if p.is_file())
        return sorted(name for name in inside if not name.startswith(kept))


@dataclass
class Shared(Site):
    """A shared server; ``client`` is an administrator in a session."""

    accounts: Any
    app: Any
    pace: Any

    def visitor(self, **headers: str) -> TestClient:
        """Someone who has not come in yet, in a browser."""
        client = TestClient(self.app, base_url=ORIGIN, follow_redirects=False)
        client.headers.update({"Origin": ORIGIN} | headers)
        return client

    def join(self, name: str, *, admin: bool = False) -> TestClient:
        """A new user in a session."""
        client = self.visitor()
        form = {"invitation": self.accounts.invite(admin=admin), "name": name, "password": PASSWORD}
        answer = client.post("/join", data=form)
        assert answer.status_code == 303, answer.text
        return client

    def as_user(self, client: TestClient) -> Site:
        return Site(client, self.queue, self.picture, self.data)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all its tables, made once."""
    path = tmp_path_factory.mktemp("empty") / "jobs.sqlite"
    JobQueue(f"sqlite:///{path}").engine.dispose()
    return path


@pytest.fixture
def site(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_scene) -> Site:
    monkeypatch.setenv("VELATURA_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    shutil.copy(empty, tmp_path / "data/jobs.sqlite")
    queue = JobQueue()
    launch = Launch(PORT, TOKEN, worker=False, limits=replace(Limits(), bytes=200_000, pixels=40_000, pictures=5))
    client = TestClient(create_app(queue, launch), base_url=f"http://{HOST}", follow_redirects=False)
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    return Site(client, queue, png(make_scene(60, 80, 1)), tmp_path / "data")


@pytest.fixture
def shared(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_scene) -> Shared:
    pytest.importorskip("argon2", reason="needs the extra serve")
    from argon2 import PasswordHasher

    from velatura.server.shared.create_app import ServerOptions, create_shared_app
    from velatura.server.shared.quotas import Quota

    monkeypatch.setenv("VELATURA_DATA", str(tmp_path / "data"))
    # Another process for each picture takes time; test_app_api.py has it, and test_security.py.
    monkeypatch.setattr("velatura.images.read_guarded", read)
    (tmp_path / "data").mkdir()
    shutil.copy(empty, tmp_path / "data/jobs.sqlite")
    queue = JobQueue()
    limits = replace(Limits(), bytes=200_000, pixels=40_000, pictures=5, days=1.0)
    quota, trusted = Quota(pictures=8, kept=6, bytes=120_000), frozenset({"127.0.0.1"})
    options = ServerOptions([ORIGIN], limits, quota, trusted=trusted, worker=False)
    app, accounts = create_shared_app(queue, options)
    accounts.hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # many users in a moment
    picture = png(make_scene(60, 80, 1))
    site = Shared(TestClient(app), queue, picture, tmp_path / "data", accounts, app, options.pace)
    site.client = site.join("Ada", admin=True)
    return site
