"""The API: handing in, ordering, looking, fetching; and what it refuses."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra web")
from PIL import Image

from velatura.jobs.queue import JobQueue, folder_of
from velatura.jobs.records import Picture
from velatura.server.app import _keep_a_worker
from velatura.server.archive import distinct, zipped
from velatura.server.catalogue import _swatches
from velatura.server.schema import JobSummaryOut
from velatura.server.uploads import shown
from velatura.styles.catalogue import load

NOBODY = "00000000-0000-0000-0000-000000000000"


def encoded(size: tuple[int, int], kind: str) -> bytes:
    out = io.BytesIO()
    Image.effect_mandelbrot(size, (-2, -1, 1, 1), 50).convert("RGB").save(out, kind)
    return out.getvalue()


def test_a_picture_is_told_by_its_content(site) -> None:
    told = site.hand_in("not-a-jpeg.jpg")
    assert (told["format"], told["width"], told["height"]) == ("png", 80, 60)
    assert site.files() == [f"uploads/{told['id']}/source.png", f"uploads/{told['id']}/thumbnail.webp"]
    small = site.client.get(f"/api/pictures/{told['id']}/thumbnail")
    assert small.headers["content-type"] == "image/webp"
    assert site.client.delete(f"/api/pictures/{told['id']}").status_code == 204
    assert site.files() == []
    for kind, format in (("JPEG", "jpeg"), ("WEBP", "webp"), ("TIFF", "tiff"), ("AVIF", "avif")):
        assert site.hand_in("x", encoded((40, 40), kind))["format"] == format


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (b"", 415, "is empty"),
        (b"hello", 415, "is not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", 415, "SVG"),
        (b"<!doctype html><script>alert(1)</script>", 415, "is not a picture"),
        (b"8BPS" + bytes(60), 415, "Photoshop"),
        (encoded((40, 40), "GIF"), 415, "save it as PNG"),
        (b"\0\0\0\x1cftypheic" + bytes(60), 415, "HEIC can be read, but not written"),
        (encoded((80, 60), "PNG")[:400], 415, "damaged or cut short"),
        (encoded((300, 200), "PNG"), 413, "megapixels"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 300_000, 413, "MB"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused_and_not_kept(site, data: bytes, status: int, says: str) -> None:
    answer = site.client.post("/api/pictures", params={"name": "art.png"}, content=data)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"]
    assert str(site.data) not in answer.text
    assert site.files() == []


def test_a_stream_without_a_length_is_cut_off(site) -> None:
    pieces = (b"\x89PNG\r\n\x1a\n" + b"\0" * 50_000 for _ in range(100))
    assert site.client.post("/api/pictures", content=pieces).status_code == 413
    assert site.files() == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/abs/path/art.png", "art.png"),
        ("C:\\art.png", "art.png"),
        ("", "picture"),
        ("...", "picture"),
        ("a\0b\r\nSet-Cookie: x.png", "a_b__Set-Cookie_ x.png"),
        ("con.png", "picture-con.png"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("Mädchen am Fenster.png", "Mädchen am Fenster.png"),
        ("x" * 300 + ".png", "x" * 120 + ".png"),
        ('"><script>.png', "___script_.png"),
    ],
)
def test_hostile_names_are_only_shown(site, name: str, kept: str) -> None:
    told = site.hand_in(name)
    assert told["name"] == kept == shown(kept)
    assert all(path.startswith(f"uploads/{told['id']}/") for path in site.files())


def test_browsers_keep_what_never_changes(site) -> None:
    job = site.order("a.png")
    base, kept = f"/api/jobs/{job['id']}/pictures/0", "private, max-age=86400"
    assert site.client.get(f"{base}/thumbnail").headers["cache-control"] == kept
    assert site.client.get(f"{base}/after").headers["cache-control"] == "no-store"  # none yet
    site.finish(job["id"])
    assert site.client.get(f"{base}/after").headers["cache-control"] == kept
    assert site.client.get(f"{base}/result").headers["cache-control"] == "no-store"
    site.queue.store.set_picture(job["id"], 0, state="working")  # written, and may be written again
    assert site.client.get(f"{base}/after").headers["cache-control"] == "no-store"


def test_ordering_and_the_idempotency_key(site) -> None:
    picture = site.hand_in()["id"]
    wish = {"pictures": [picture], "intensity": "low", "effort": "fast", "style": "caravaggio", "models": ["mini"]}
    first = site.client.post("/api/jobs", json=wish, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, first.json()["state"]) == (201, "waiting")
    again = site.client.post("/api/jobs", json=wish, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    other = site.client.post("/api/jobs", json=wish)
    assert other.json()["id"] != first.json()["id"]
    assert len(site.client.get("/api/jobs").json()) == 2
    job = site.queue.store.job(first.json()["id"])
    assert job is not None
    assert (job.order["settings"]["budget"], job.order["settings"]["style"]) == (0.05, "caravaggio")
    assert site.client.delete(f"/api/pictures/{picture}").status_code == 409  # needed


@pytest.mark.parametrize(
    "wish",
    [
        {"pictures": []},
        {"pictures": [NOBODY]},
        {"pictures": ["../../x"]},
        {"effort": "endless"},
        {"intensity": 7},
        {"intensity": "loud"},
        {"style": "nobody-at-all"},
        {"models": ["/etc"]},
        {"models": ["someone/something"]},
        {"models": []},
        {"resolution": 500},
        {"catalogue": "/etc/passwd"},
        {"painter": "x"},
        {"output": "/tmp"},
    ],
)
def test_wrong_orders_are_refused_before_anything_is_queued(site, wish: dict) -> None:
    picture = site.hand_in()["id"]
    answer = site.client.post("/api/jobs", json={"pictures": [picture], **wish})
    assert answer.status_code == 422, answer.text
    preview = {"picture": picture, **{k: v for k, v in wish.items() if k != "pictures"}}
    if "pictures" not in wish:
        assert site.client.post("/api/previews", json=preview).status_code == 422
    assert site.queue.store.unfinished() == []


def test_too_many_pictures_and_too_much_json(site) -> None:
    ids = [site.hand_in()["id"] for _ in range(6)]
    assert "at most 5" in site.client.post("/api/jobs", json={"pictures": ids}).json()["detail"]
    large = site.client.post("/api/jobs", content=b" " * 2_000_000, headers={"Content-Type": "application/json"})
    assert large.status_code == 413


def test_cancel_resume_delete(site) -> None:
    id = site.order()["id"]
    assert site.client.delete(f"/api/jobs/{id}").status_code == 409
    assert site.client.post(f"/api/jobs/{id}/resume").status_code == 409
    assert site.client.post(f"/api/jobs/{id}/cancel").json()["state"] == "cancelled"
    assert site.client.post(f"/api/jobs/{id}/cancel").status_code == 409
    assert site.client.post(f"/api/jobs/{id}/resume").json()["state"] == "waiting"
    site.queue.store.set_job(id, 2, state="done")
    assert site.files() != []
    assert site.client.delete(f"/api/jobs/{id}").status_code == 204
    assert site.client.get(f"/api/jobs/{id}").status_code == 404
    assert site.files() == []


def test_a_picture_of_two_jobs_outlives_one_of_them(site) -> None:
    picture = site.hand_in()["id"]
    ids = [site.client.post("/api/jobs", json={"pictures": [picture]}).json()["id"] for _ in range(2)]
    for id in ids:
        site.finish(id)
    site.client.delete(f"/api/jobs/{ids[0]}")
    assert site.client.get(f"/api/jobs/{ids[1]}/pictures/0/original").content == site.picture
    site.client.delete(f"/api/jobs/{ids[1]}")
    assert site.files() == []


def test_a_preview_holds_on_to_no_picture(site) -> None:
    kept, left_out = site.hand_in()["id"], site.hand_in()["id"]
    job = site.client.post("/api/jobs", json={"pictures": [kept]}).json()["id"]
    site.finish(job)
    for picture in (kept, left_out, kept):
        look = site.client.post("/api/previews", json={"picture": picture}).json()["id"]
        folder_of(look).mkdir(parents=True)
    assert site.client.delete(f"/api/pictures/{left_out}").status_code == 204
    assert site.client.get(f"/api/jobs/{job}/pictures/0/original").status_code == 200
    assert site.client.delete(f"/api/jobs/{job}").status_code == 204
    assert site.files() == []
    assert not list((site.data / "jobs").iterdir())
    assert site.client.get(f"/api/previews/{look}").status_code == 404


def test_results_panels_and_zip(site) -> None:
    job = site.order("a.png", "a.png", "../b.png")
    assert site.client.get(f"/api/jobs/{job['id']}/zip").status_code == 404
    assert site.client.get(f"/api/jobs/{job['id']}/pictures/0/result").status_code == 404
    site.finish(job["id"])
    told = site.client.get(f"/api/jobs/{job['id']}").json()
    assert (told["done"], told["share"], told["seconds_left"]) == (3, 1.0, 0.0)
    assert told["pictures"][0]["verdict"]["word"] == "protected"
    assert told["pictures"][0]["families"]["sdxl"] == {
        "progress": 0.24,
        "progress_noise": -0.01,
        "seen_by": "surrogate",
    }
    assert told["pictures"][0]["kind"] == "colour picture"
    panels = ("result", "original", "sheet", "before", "after", "difference", "target", "seen-before", "seen-after")
    for panel in panels:
        answer = site.client.get(f"/api/jobs/{job['id']}/pictures/0/{panel}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), panel
        assert "content-disposition" not in answer.headers
    saved = site.client.get(f"/api/jobs/{job['id']}/pictures/2/result?download=true")
    assert 'filename="b.png"' in saved.headers["content-disposition"]
    assert site.client.get(f"/api/jobs/{job['id']}/pictures/0/report").json() == {"velatura": "x"}
    packed = site.client.get(f"/api/jobs/{job['id']}/zip")
    inside = zipfile.ZipFile(io.BytesIO(packed.content))
    assert inside.testzip() is None
    assert inside.namelist() == ["a.png", "a-2.png", "b.png"]
    assert inside.read("a-2.png") == site.picture


@pytest.mark.parametrize(
    "path",
    [
        f"/api/jobs/{NOBODY}",
        f"/jobs/{NOBODY}",
        f"/api/previews/{NOBODY}",
        f"/api/pictures/{NOBODY}/thumbnail",
        "/api/jobs/..%2f..%2fjobs.sqlite",
        "/api/jobs/%2e%2e/%2e%2e/jobs.sqlite",
        "/api/pictures/..%2f..%2fjobs.sqlite/thumbnail",
        "/static/..%2f..%2fapp.py",
        "/static/../app.py",
        "/api/styles/..%2f..%2fx/swatch",
    ],
)
def test_what_is_not_there_is_not_found_wherever_it_points(site, path: str) -> None:
    assert site.client.get(path).status_code in (404, 422)


def test_panels_are_a_closed_list(site) -> None:
    id = site.order()["id"]
    site.finish(id)
    for panel in ("..%2f..%2fjobs.sqlite", "source", "protected.report.json", "%00"):
        assert site.client.get(f"/api/jobs/{id}/pictures/0/{panel}").status_code in (404, 422)
    assert site.client.get(f"/api/jobs/{id}/pictures/9/result").status_code == 404


def test_a_preview_is_no_job_and_replaces_the_one_before(site) -> None:
    picture = site.hand_in()["id"]
    first = site.client.post("/api/previews", json={"picture": picture, "x": 0.2, "y": 0.9})
    assert (first.status_code, first.json()["state"]) == (202, "waiting")
    second = site.client.post("/api/previews", json={"picture": picture})
    assert site.client.get(f"/api/previews/{first.json()['id']}").json()["state"] == "cancelled"
    assert site.client.get(f"/api/previews/{second.json()['id']}/after").status_code == 404
    assert site.client.get("/api/jobs").json() == []
    assert site.client.get(f"/api/jobs/{second.json()['id']}").status_code == 404
    assert site.client.post("/api/previews", json={"picture": picture, "x": 3}).status_code == 422


def test_choices(site) -> None:
    styles = site.client.get("/api/styles").json()
    assert len(styles) == len(load().styles)
    assert all(style["swatch"] and style["name"] not in style["nearest"] for style in styles)
    swatch = site.client.get(f"/api/styles/{styles[0]['name']}/swatch")
    assert Image.open(io.BytesIO(swatch.content)).size == (96, 96)
    models = {model["name"]: model for model in site.client.get("/api/models").json()}
    assert models["mini"]["here"]
    assert "lpips-alex" not in models


def test_swatches_are_of_the_catalogue_as_it_is() -> None:
    assert _swatches() == [style.name for style in load().styles], "run: python training/paint_swatches.py"


def test_the_api_describes_all_that_the_pages_do(site) -> None:
    described = site.client.get("/api/openapi.json").json()["paths"]
    wanted = ["/api/pictures", "/api/jobs", "/api/jobs/{id}/cancel", "/api/jobs/{id}/resume", "/api/jobs/{id}/zip"]
    assert {*wanted, "/api/events", "/api/previews", "/api/styles", "/api/models"} <= set(described)
    assert all(path.startswith("/api/") for path in described)
    assert "binary" in json.dumps(described["/api/pictures"]["post"]["requestBody"])


def test_news_counts_as_jobs_do(site) -> None:
    assert site.queue.store.summaries() == []
    first, second, third = site.order("a.png", "b.png", "c.png", "d.png"), site.order(), site.order()
    store = site.queue.store
    store.set_job(first["id"], 1, state="working")
    store.set_picture(first["id"], 0, state="done", seconds=30.0, step=45, steps=45)
    store.set_picture(first["id"], 1, state="working", seconds=10.0, step=9, steps=45)
    store.set_picture(first["id"], 2, state="failed", seconds=99.0)
    site.finish(second["id"])
    told = [JobSummaryOut.of(summary).model_dump() for summary in store.summaries()]
    counted = [JobSummaryOut.of(job).model_dump() for job in store.jobs()]
    assert [summary["id"] for summary in told] == [third["id"], second["id"], first["id"]]
    for summary, expected in zip(told, counted, strict=True):
        assert summary.pop("seconds_left") == pytest.approx(expected.pop("seconds_left"))
        assert summary == expected


def test_pages_show_how_things_stand(site) -> None:
    assert "Nothing here yet" in site.client.get("/queue").text
    job = site.order("Girl & pearl.png", "b.png")
    assert "Girl &amp; pearl.png" in site.client.get("/queue").text
    site.queue.store.set_job(job["id"], 1, state="working")
    site.queue.store.set_picture(job["id"], 0, state="working", step=9, steps=45, seconds=10.0)
    page = site.client.get(f"/jobs/{job['id']}/list").text
    assert "step 9 of 45" in page
    assert "Cancel" in page
    site.queue.store.set_picture(job["id"], 0, state="failed", error="cannot be decoded")
    assert "cannot be decoded" in site.client.get(f"/jobs/{job['id']}").text
    site.queue.store.set_job(job["id"], 1, state="done")
    assert "Try again" in site.client.get(f"/jobs/{job['id']}").text
    assert site.client.get(f"/jobs/{job['id']}/1").status_code == 404
    other = site.order()
    site.finish(other["id"])
    page = site.client.get(f"/jobs/{other['id']}/0").text
    assert "Stable Diffusion 1 and 2 see 31% of the way to Caravaggio" in page
    for words in (
        "Protected",
        "SDXL",
        "24 %",
        "seen by surrogate",
        "A viewer hardly sees the change",
        "colour picture",
    ):
        assert words in page, words
    assert "More visible than asked for" in page
    assert "PNG keeps it all" in page
    assert "0.120" in page
    assert page.count("What is not known: how the full autoencoders see it.") == 1
    figures = {"lpips": 0.1, "psnr_db": 24.0, "colour_cast": 4.0}  # of a file that is not larger, and of older results
    record = site.queue.store.job(other["id"])
    assert record is not None
    since = ("notes", "families", "kind", "unknown")
    older = {key: value for key, value in record.pictures[0].summary.items() if key not in since}
    older |= {"figures": figures, "verdict": {"word": "fair", "sentence": "fair; measured on mini", "advice": ""}}
    site.queue.store.set_picture(other["id"], 0, state="done", summary=older)
    page = site.client.get(f"/jobs/{other['id']}/0").text
    assert "Fair; measured on mini." in page
    assert "More visible than asked for" in page
    assert "from close by" not in page
    copied = {"verdict": {"word": "copied", "sentence": "a copy without a cloak (intensity 0)", "advice": ""}}
    copied |= {"flags": [], "notes": [], "figures": {"lpips": 0.0, "flip": 0.0}, "style": None, "families": {}}
    site.queue.store.set_picture(other["id"], 0, state="done", summary=copied | {"kind": "line art", "models": []})
    site.queue.store.set_job(other["id"], 1, choice={})
    page = site.client.get(f"/jobs/{other['id']}/0").text
    assert "A copy without a cloak (intensity 0)." in page
    for words in ("What a model sees", "Target", "What is not known", "A viewer"):
        assert words not in page, words


def test_an_avif_is_shown_as_one(site) -> None:
    picture = site.hand_in("a.avif", encoded((40, 40), "AVIF"))["id"]
    job = site.client.post("/api/jobs", json={"pictures": [picture]}).json()["id"]
    site.finish(job)
    for panel in ("original", "result"):
        kind = site.client.get(f"/api/jobs/{job}/pictures/0/{panel}").headers["content-type"]
        assert kind == "image/avif"  # browsers are told not to guess


def test_a_worker_that_cannot_be_started_is_tried_again(site, monkeypatch, caplog) -> None:
    class Worker:
        returncode = None
        ended = False

        def poll(self) -> int | None:
            return self.returncode

        def terminate(self) -> None:
            self.ended = True

    worker, tries = Worker(), []

    def start(_: Any) -> Worker:
        tries.append(None)
        if len(tries) == 1:
            raise PermissionError(13, "Permission denied")
        return worker

    monkeypatch.setattr("velatura.server.app.LOOK_AFTER", 0.01)
    monkeypatch.setattr(JobQueue, "ensure_worker", start)

    async def live() -> None:
        task = asyncio.create_task(_keep_a_worker(site.queue))
        while len(tries) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(live(), 60))
    assert "no worker could be started (PermissionError: Permission denied)" in caplog.text
    assert worker.ended


def test_zip_names_never_collide_or_climb() -> None:
    assert distinct(["a.png", "A.png", "../a.png", "a-2.png"]) == ["a.png", "A-2.png", "a-3.png", "a-2-2.png"]


def test_a_zip_is_made_in_pieces(tmp_path) -> None:
    (tmp_path / "large.png").write_bytes(b"x" * 5_000_000)
    pieces = list(zipped([("large.png", tmp_path / "large.png")]))
    assert max(map(len, pieces)) < 3_000_000
    assert zipfile.ZipFile(io.BytesIO(b"".join(pieces))).read("large.png") == b"x" * 5_000_000


def test_a_job_of_the_command_line_is_shown_without_the_panels_that_it_lacks(site, tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(site.picture)
    picture = Picture(0, "a.png", tmp_path / "a.png", tmp_path / "out/a.png", "a")
    id = site.queue.submit([picture], {"settings": {}, "panels": ["sheet.png"]}).id
    site.finish(id)
    page = site.client.get(f"/jobs/{id}/0").text
    assert "Before and after" in page
    assert "What a model sees" not in page
    assert site.client.get(f"/jobs/{id}").status_code == 200
