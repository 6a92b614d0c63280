"""What strangers, other users and hostile files get of a shared server: nothing."""

from __future__ import annotations

import io
import struct
import time
import zipfile
import zlib

import pytest

pytest.importorskip("argon2", reason="needs the extra serve")
from fastapi.testclient import TestClient
from itsdangerous import URLSafeSerializer

from velatura.images import sandbox
from velatura.server.shared import accounts as of_accounts
from velatura.server.shared import webhooks

ORIGIN, PASSWORD = "https://studio.example", "correct horse battery"


def test_users_see_their_own_alone(shared) -> None:
    anna, bo = (shared.as_user(shared.join(name)) for name in ("Anna", "Bo"))
    picture = anna.hand_in("a.png")["id"]
    preview = anna.client.post("/api/previews", json={"picture": picture}).json()["id"]
    done, waiting = anna.order("a.png"), anna.order("b.png")
    anna.finish(done["id"])
    key = anna.client.post("/api/account/keys", json={"label": "x"}) and anna.client.get("/api/account/keys").json()[0]
    before = shared.files()
    reading = [
        f"/api/pictures/{picture}/thumbnail",
        f"/api/previews/{preview}",
        f"/api/previews/{preview}/before",
        f"/api/jobs/{done['id']}",
        f"/api/jobs/{done['id']}/zip",
        *(f"/api/jobs/{done['id']}/pictures/0/{panel}" for panel in ("result", "original", "thumbnail", "report")),
        *(f"/jobs/{done['id']}{rest}" for rest in ("", "/list", "/0")),
    ]
    writing = [
        ("DELETE", f"/api/pictures/{picture}"),
        ("DELETE", f"/api/jobs/{done['id']}"),
        ("POST", f"/api/jobs/{waiting['id']}/cancel"),
        ("POST", f"/api/jobs/{done['id']}/resume"),
        ("DELETE", f"/api/account/keys/{key['id']}"),
    ]
    for other in (bo.client, shared.client):  # an administrator is another user, too
        assert other.get("/api/jobs").json() == []
        for path in reading:
            assert other.get(path).status_code == 404, path
        for method, path in writing:
            assert other.request(method, path).status_code == 404, path
        assert other.post("/api/jobs", json={"pictures": [picture]}).status_code == 422
        assert other.post("/api/previews", json={"picture": picture}).status_code == 404
    assert bo.client.delete("/api/account/pictures").status_code == 204
    assert shared.files() == before
    for path in reading[3:]:
        assert anna.client.get(path).status_code == 200, path
    assert anna.client.get(f"/api/jobs/{waiting['id']}").json()["state"] == "waiting"


def test_a_stranger_gets_in_nowhere(shared) -> None:
    described = shared.client.get("/api/openapi.json").json()["paths"]
    stranger = shared.visitor()
    asked = [(method, path) for path, methods in described.items() for method in methods]
    asked += [("get", path) for path in ("/", "/queue", "/styles", "/admin", "/account", "/metrics", "/artists", "/x")]
    assert len(asked) > 30
    for cookie in ("", "__Host-velatura=forged", "__Host-velatura="):
        for method, path in asked[:: 1 if not cookie else 7]:
            answer = stranger.request(method, path.replace("{id}", "x"), headers={"Cookie": cookie} if cookie else {})
            assert answer.status_code == 401, (method, path)
    assert stranger.get("/api/jobs", headers={"Authorization": "Bearer vk_forged"}).status_code == 401
    assert stranger.get("/static/app.css").status_code == 200


def test_only_administrators_administrate(shared) -> None:
    anna = shared.join("Anna")
    for path, methods in shared.client.get("/api/openapi.json").json()["paths"].items():
        for method in methods if path.startswith("/api/admin") else []:
            body = {} if method == "post" and path.endswith("invitations") else None
            assert anna.request(method, path.replace("{id}", "x"), json=body).status_code == 403, path
    assert anna.get("/admin").status_code == 403
    assert anna.get("/metrics").status_code == 403
    assert shared.client.get("/admin").status_code == 200


def test_forged_expired_used_and_withdrawn_invitations(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    def joined(token: str) -> int:
        form = {"invitation": token, "name": "Mallory", "password": PASSWORD}
        shared.pace.limiter.storage.reset()
        assert shared.visitor().get("/join", params={"invitation": token}).status_code == 403
        return shared.visitor().post("/join", data=form).status_code

    good = shared.accounts.invite()
    id = shared.accounts.invitations()[0].id
    other = URLSafeSerializer("another secret", salt="velatura invitation").dumps(id)
    salt = URLSafeSerializer((shared.data / "server.secret").read_text(), salt="another purpose").dumps(id)
    swapped = good[:-1] + ("A" if good[-1] != "A" else "E")
    for token in ("", id, other, salt, swapped, good.split(".")[0], "x" * 5000, "\0"):
        assert joined(token) == 403, token
    now = time.time()
    monkeypatch.setattr(of_accounts.time, "time", lambda: now + 8 * 86400)
    assert joined(good) == 403
    monkeypatch.undo()
    shared.join("Anna")
    used = [i for i in shared.accounts.invitations() if i.used is not None]
    assert joined(shared.accounts.signer.dumps(used[0].id)) == 403
    withdrawn = shared.accounts.invite()
    assert shared.accounts.withdraw(shared.accounts.invitations()[0].id)
    assert joined(withdrawn) == 403
    assert len(shared.accounts.users()) == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),  # no browser of today, whose cookie might be anyone's
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://studio.example"}, 403),
        ({"Origin": "https://studio.example.evil.example"}, 403),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": ORIGIN, "Host": "evil.example"}, 421),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}, 204),
    ],
)
def test_forms_of_other_sites_change_nothing(shared, headers: dict[str, str], status: int) -> None:
    """Cross-site request forgery: with the user's own cookie."""
    del shared.client.headers["Origin"]
    assert shared.client.delete("/api/account/pictures", headers=headers).status_code == status
    assert shared.client.post("/logout", headers=headers).status_code == (303 if status == 204 else status)
    form = {"name": "Ada", "password": PASSWORD}  # to log someone in as another is a forgery too
    assert shared.client.post("/login", data=form, headers=headers).status_code == (303 if status == 204 else status)


def test_a_link_from_elsewhere_shows_a_page_and_fetches_nothing(shared) -> None:
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    del shared.client.headers["Origin"]
    assert shared.client.get("/queue", headers=elsewhere | {"Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert shared.client.get("/api/jobs", headers=elsewhere | {"Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert shared.client.get("/api/jobs", headers=elsewhere | {"Sec-Fetch-Mode": "cors"}).status_code == 403


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that says that it is large, and is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes((1 + 3 * width) * min(height, 2000)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_guesses_are_counted_by_name_however_it_is_spelt_and_by_network(shared) -> None:
    codes = []
    for n, name in enumerate(["ada", "ADA", "\uff21da", " Ada", "Ada ", "aDa"] * 2):
        shared.pace.limiter.storage.reset() if n == 0 else None
        address = TestClient(shared.app, base_url=ORIGIN, client=(f"2001:db8:{n:x}::1", 1)).post
        codes.append(address("/login", data={"name": name, "password": "x"}, headers={"Origin": ORIGIN}).status_code)
    assert codes == [401] * 10 + [429] * 2
    shared.pace.limiter.storage.reset()
    for n in range(11):
        address = TestClient(shared.app, base_url=ORIGIN, client=(f"2001:db8::{n:x}", 1)).post
        code = address("/login", data={"name": f"guess {n}", "password": "x"}, headers={"Origin": ORIGIN}).status_code
    assert code == 429


HOSTILE = [
    (bomb(60_000, 60_000)[:150_000], 413),
    (bomb(1000, 1000), 413),
    (b"#!/bin/sh\nrm -rf /\n", 415),
    (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>", 415),
    (b"%!PS-Adobe-3.0\n(/etc/passwd) (r) file", 415),
    (b"push graphic-context\nimage over 0,0 0,0 'https://evil.example/'\npop graphic-context", 415),
    (b"PK\x03\x04" + bytes(100), 415),
    (b"GIF89a" + b"\xff" * 50, 415),
    (b"II*\0" + b"\xff" * 200, 415),
    (b"RIFF\xff\xff\xff\xffWEBPVP8X" + bytes(50), 415),
    (b"\xff\xd8\xff" + bytes(200), 415),
]


def test_hostile_pictures_are_refused_and_not_kept(shared, monkeypatch) -> None:
    monkeypatch.setattr("velatura.images.read_guarded", sandbox.read_guarded)  # the real one
    for data, status in HOSTILE:
        answer = shared.client.post("/api/pictures", params={"name": "art.png"}, content=data)
        assert answer.status_code == status, (data[:20], answer.text)
        assert str(shared.data) not in answer.text
        assert shared.files() == ["server.secret"]


def test_a_length_that_lies(shared) -> None:
    for length in ("-1", "abc", "1e9", "9" * 30):
        answer = shared.client.post("/api/pictures", content=shared.picture, headers={"Content-Length": length})
        assert answer.status_code in (201, 400, 413), length
    large = shared.client.post("/login", data={"name": "x" * 20_000, "password": "x"})
    assert large.status_code == 422


def test_names_climb_neither_on_the_disk_nor_in_a_zip(shared) -> None:
    anna = shared.as_user(shared.join("Anna"))
    names = ["../../../etc/cron.d/x.png", "..\\..\\x.png", "/etc/passwd", "C:\\x.png", "x.png\0.sh"]
    job = anna.order(*names)
    anna.finish(job["id"])
    assert all(path.split("/")[0] in ("uploads", "jobs", "server.secret") for path in shared.files())
    packed = anna.client.get(f"/api/jobs/{job['id']}/zip")
    inside = zipfile.ZipFile(io.BytesIO(packed.content)).namelist()
    assert len({name.casefold() for name in inside}) == len(names)
    for name in inside:
        assert not set('/\\:\0"') & set(name), name
        assert name.endswith(".png")
    assert packed.headers["content-disposition"].isascii()
    saved = anna.client.get(f"/api/jobs/{job['id']}/pictures/0/result?download=true")
    assert "/" not in saved.headers["content-disposition"].partition("filename")[2]


INWARD = [
    "http://example.com/",
    "https://example.com:8443/",
    "https://user:secret@example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "https:///x",
    "https://[::1",
    "https://exam ple.com/",
    "https://example.com/\r\nX: y",
    "https://10.0.0.1/",
    "https://127.0.0.2/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://0.0.0.0/",
    "https://100.64.0.1/",
    "https://224.0.0.1/",
]


def test_webhooks_into_our_own_network_are_refused(shared) -> None:
    anna = shared.as_user(shared.join("Anna"))
    picture = anna.hand_in()["id"]
    for url in INWARD:
        answer = anna.client.post("/api/jobs", json={"pictures": [picture], "webhook": url})
        assert (answer.status_code, "webhook" in answer.text) == (422, True), url
    assert anna.client.get("/api/jobs").json() == []


def test_a_name_that_turns_inward_is_not_called(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: public when the job is ordered, private when it is called."""
    anna = shared.as_user(shared.join("Anna"))
    job = anna.order("a.png", webhook="https://example.com/")
    anna.finish(job["id"])
    asked, called = [], []
    answers = [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("127.0.0.1", 443))]
    monkeypatch.setattr(webhooks.socket, "getaddrinfo", lambda *a, **k: asked.append(a) or answers)
    monkeypatch.setattr(webhooks.socket, "create_connection", lambda *a: called.append(a))
    caller = shared.app.state.policy.expect.__self__
    assert not caller.deliver(job["id"], 0)
    assert asked
    assert not called


def test_the_local_application_calls_no_one(site) -> None:
    answer = site.client.post("/api/jobs", json={"pictures": [site.hand_in()["id"]], "webhook": "https://example.com/"})
    assert answer.status_code == 422
    assert site.client.get("/login").status_code == 404
    assert site.client.get("/api/account").status_code == 404
