"""The shared server: coming in, quotas, keys, deletion, what an administrator sees, calling back."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import io
import json
import socket
import threading
import time
import zipfile
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("argon2", reason="needs the extra serve")
from limits import parse

from velatura.jobs.expiry import sweep
from velatura.jobs.files import files
from velatura.jobs.store import Store
from velatura.server.policy import Visitor
from velatura.server.shared import tables, webhooks
from velatura.server.shared.accounts import Accounts
from velatura.server.shared.create_app import ServerOptions
from velatura.server.shared.login_pages import own
from velatura.server.shared.quotas import MOST_ARRIVING, Quota, TooMuch

ORIGIN, PASSWORD = "https://studio.example", "correct horse battery"


def test_from_an_invitation_to_a_result(shared) -> None:
    link = shared.client.post("/api/admin/invitations", json={}).json()["link"]
    assert link.startswith(f"{ORIGIN}/join?invitation=")
    anna = shared.visitor()
    assert "Welcome" in anna.get(link).text
    form = {"invitation": link.partition("=")[2], "name": "Anna", "password": PASSWORD}
    assert anna.post("/join", data=form).headers["location"] == "/"
    site = shared.as_user(anna)
    job = site.order("a.png", "b.png")
    site.finish(job["id"])
    for path in ("/", "/queue", f"/jobs/{job['id']}", f"/jobs/{job['id']}/0", "/about", "/account", "/artists"):
        page = anna.get(path)
        assert page.status_code == 200, path
        assert "24 hours" in page.text
        assert "Nothing leaves this machine" not in page.text, path
        assert "/admin" not in page.text
    assert anna.get(f"/api/jobs/{job['id']}/zip").status_code == 200
    assert anna.post("/logout").headers["location"] == "/login"
    assert anna.get("/queue", headers={"Accept": "text/html"}).headers["location"] == "/login?next=%2Fqueue"
    assert anna.post("/login", data={"name": "ANNA", "password": "wrong"}).status_code == 401
    back = anna.post("/login", data={"name": " anna ", "password": PASSWORD, "next": "/queue"})
    assert (back.status_code, back.headers["location"]) == (303, "/queue")
    cookie = back.headers["set-cookie"]
    assert all(part in cookie for part in ("__Host-velatura=", "HttpOnly", "Secure", "SameSite=lax", "Path=/"))
    assert anna.get("/api/jobs").json()[0]["id"] == job["id"]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"password": "short"}, "10 to 200 characters"),
        ({"name": ""}, "1 to 60 characters"),
        ({"name": "x" * 61}, "1 to 60 characters"),
        ({"name": " ADA "}, "taken already"),
        ({"name": "\uff21da"}, "taken already"),  # a wide A
        ({"name": "a\0b"}, "printed"),
    ],
)
def test_a_wrong_form_does_not_use_the_invitation_up(shared, form: dict[str, str], says: str) -> None:
    visitor, token = shared.visitor(), shared.accounts.invite()
    sent = {"invitation": token, "name": "Bo", "password": PASSWORD}
    answer = visitor.post("/join", data=sent | form)
    assert (answer.status_code, says in answer.text) == (422, True), answer.text
    assert visitor.post("/join", data=sent).status_code == 303


def test_changing_and_setting_a_password_ends_all_sessions(shared) -> None:
    anna, other = shared.join("Anna"), shared.visitor()
    other.post("/login", data={"name": "Anna", "password": PASSWORD})
    wish = {"present": "wrong", "new": "another long one"}
    assert anna.post("/api/account/password", json=wish).status_code == 422
    assert anna.post("/api/account/password", json=wish | {"present": PASSWORD}).status_code == 204
    assert anna.get("/api/account").status_code == 200
    assert other.get("/api/account").status_code == 401
    id = next(u.id for u in shared.accounts.users() if u.name == "Anna")
    link = shared.client.post("/api/admin/invitations", json={"user": id}).json()["link"]
    assert "A new password for Anna" in other.get(link).text
    assert other.post("/join", data={"invitation": link.partition("=")[2], "password": PASSWORD}).status_code == 303
    assert anna.get("/api/account").status_code == 401
    assert len(shared.accounts.users()) == 2


def test_api_keys(shared) -> None:
    anna = shared.join("Anna")
    key = anna.post("/api/account/keys", json={"label": "upload"}).json()["key"]
    program = shared.visitor(Authorization=f"Bearer {key}")
    del program.headers["Origin"]
    assert program.post("/api/pictures?name=a.png", content=shared.picture).status_code == 201
    assert program.get("/api/account").status_code == 403
    assert program.post("/api/account/keys", json={"label": "x"}).status_code == 403
    assert program.delete("/api/account").status_code == 403
    assert program.get("/metrics").status_code == 403
    (kept,) = anna.get("/api/account/keys").json()
    assert kept["label"] == "upload"
    assert key not in anna.get("/account").text
    assert key.encode() not in (shared.data / "jobs.sqlite").read_bytes()
    assert anna.delete(f"/api/account/keys/{kept['id']}").status_code == 204
    assert program.get("/api/jobs").status_code == 401
    admin_key = shared.client.post("/api/account/keys", json={"label": "prometheus"}).json()["key"]
    metrics = shared.visitor(Authorization=f"Bearer {admin_key}").get("/metrics")
    assert 'velatura_requests_total{method="POST",route="/api/pictures",status="201"} 1.0' in metrics.text
    assert "velatura_users 2.0" in metrics.text


def test_quotas(shared) -> None:
    anna = shared.as_user(shared.join("Anna"))
    ids = [anna.hand_in()["id"] for _ in range(5)]
    assert anna.client.post("/api/jobs", json={"pictures": ids}).status_code == 201
    refused = anna.client.post("/api/jobs", json={"pictures": ids})
    assert (refused.status_code, "8 pictures a day" in refused.text) == (429, True)
    assert anna.client.post("/api/jobs", json={"pictures": ids[:3]}).status_code == 201
    assert anna.client.post("/api/jobs", json={"pictures": ids[:1]}).status_code == 429
    assert len(anna.client.get("/api/jobs").json()) == 2
    anna.hand_in()
    refused = anna.client.post("/api/pictures", content=shared.picture)
    assert (refused.status_code, "6 pictures" in refused.text) == (429, True)
    account = anna.client.get("/api/account").json()
    assert (account["pictures_today"], account["pictures_kept"]) == (8, 6)
    assert anna.client.delete("/api/account/pictures").status_code == 204
    assert anna.client.get("/api/account").json()["pictures_today"] == 8, "deleting gives no new quota"
    shared.as_user(shared.join("Bo")).order("a.png")


def test_the_room_that_is_left_bounds_an_upload(shared) -> None:
    anna = shared.as_user(shared.join("Anna"))
    anna.hand_in()
    held = anna.client.get("/api/account").json()["bytes_kept"]
    pieces = (b"\x89PNG\r\n\x1a\n" + b"\0" * 40_000 for _ in range(10))
    assert anna.client.post("/api/pictures", content=pieces).status_code == 413
    assert anna.client.get("/api/account").json()["bytes_kept"] == held


def test_two_orders_at_once_cannot_both_have_the_last(shared) -> None:
    policy, user = shared.app.state.policy, shared.accounts.users()[0].id
    policy = replace(policy, quota=Quota(pictures=10))
    done: list[bool] = []

    def order() -> None:
        try:
            policy.spend(user, 3)
            done.append(True)
        except TooMuch:
            done.append(False)

    threads = [threading.Thread(target=order) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 8
    assert sum(done) == 3
    assert policy.spent(user) == 9


def test_pace(shared) -> None:
    anna = shared.join("Anna")
    object.__setattr__(shared.pace, "reading", parse("3/minute"))
    answers = [anna.get("/api/jobs") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "60"
    guesses = [shared.visitor().post("/login", data={"name": "Ada", "password": "x"}).status_code for _ in range(12)]
    assert guesses[0] == 401
    assert guesses[-1] == 429
    assert anna.post("/api/account/keys", json={"label": "still"}).status_code == 201


def test_everything_goes_at_a_click_and_in_its_time(shared) -> None:
    anna, bo = (shared.as_user(shared.join(name)) for name in ("Anna", "Bo"))
    kept = bo.order("b.png")
    done, waiting = anna.order("a.png"), anna.order("c.png")
    anna.finish(done["id"])
    anna.hand_in("d.png")
    anna.client.post("/api/previews", json={"picture": anna.hand_in("e.png")["id"]})
    assert anna.client.delete("/api/account/pictures").status_code == 204
    assert anna.client.get("/api/jobs").json() == []
    assert shared.queue.store.job(waiting["id"]) is None
    assert [path.split("/")[0] for path in shared.files()] == ["server.secret", "uploads", "uploads"]
    bo.finish(kept["id"])
    assert sweep(shared.queue.store, time.time() + 23 * 3600) == (0, 0)
    assert sweep(shared.queue.store, time.time() + 25 * 3600) == (1, 1)
    assert shared.files() == ["server.secret"]


def test_leaving(shared) -> None:
    anna = shared.as_user(shared.join("Anna"))
    anna.order("a.png")
    assert anna.client.delete("/api/account").status_code == 204
    assert anna.client.get("/api/jobs").status_code == 401
    assert shared.files() == ["server.secret"]
    answer = shared.client.delete("/api/account")
    assert (answer.status_code, "only administrator" in answer.text) == (422, True)


def test_an_administrator_sees_the_house_and_no_pictures(shared) -> None:
    anna = shared.as_user(shared.join("Anna"))
    job = anna.order("secret title.png")
    page = shared.client.get("/admin").text
    assert "Anna" in page
    assert "secret title" not in page
    told = shared.client.get("/api/admin").json()
    assert [user["name"] for user in told["users"]] == ["Ada", "Anna"]
    assert told["queue"][0]["user"] == "Anna"
    assert shared.client.get(f"/api/jobs/{job['id']}").status_code == 404
    assert shared.client.post(f"/api/admin/jobs/{job['id']}/cancel").status_code == 204
    id = told["users"][1]["id"]
    assert shared.client.post(f"/api/admin/users/{id}/disable").status_code == 204
    assert anna.client.get("/api/jobs").status_code == 401
    assert anna.client.post("/login", data={"name": "Anna", "password": PASSWORD}).status_code == 401
    assert shared.client.post(f"/api/admin/users/{id}/enable").status_code == 204
    assert anna.client.get("/api/jobs").status_code == 200
    assert shared.client.delete(f"/api/admin/users/{id}").status_code == 204
    assert anna.client.get("/api/jobs").status_code == 401
    assert shared.files() == ["server.secret"]
    own_id = told["users"][0]["id"]
    assert shared.client.post(f"/api/admin/users/{own_id}/disable").status_code == 422
    shared.client.post("/api/admin/invitations", json={})
    (open_one,) = shared.client.get("/api/admin").json()["invitations"]
    assert shared.client.delete(f"/api/admin/invitations/{open_one['id']}").status_code == 204
    assert shared.client.get("/api/admin").json()["invitations"] == []


def test_artists_of_two_users_are_two(shared) -> None:
    from velatura.styles.catalogue import load
    from velatura.styles.choose import choose, remember

    anna, bo = (shared.as_user(shared.join(name)) for name in ("Anna", "Bo"))
    job = anna.order("a.png", "b.png", "c.png", artist="J. Doe")
    settings = shared.queue.store.job(job["id"]).order["settings"]
    book = load()
    places = {n: [v + 0.1 * n for v in book.styles[0].centroid] for n in range(3)}
    choice = choose(book, places[1], name="caravaggio", reason="")
    remember(settings["artist"], choice, 0)
    shared.queue.store.set_job(job["id"], 1, choice={"places": places})
    assert anna.client.get("/api/artists").json() == ["J. Doe"]
    told = anna.client.get("/api/artist?name=J. Doe").json()
    assert (told["style"]["name"], told["measured"], len(told["pictures"])) == ("caravaggio", 3, 3)
    assert told["spread"] > 0
    assert told["pictures"][1]["distance"] == pytest.approx(0, abs=1e-3)
    assert told["style_distance"] == pytest.approx(book.distance(places[1], book.find("caravaggio").centroid), abs=1e-3)
    assert "Caravaggio" in anna.client.get("/artist?name=J. Doe").text
    assert "J. Doe" in anna.client.get("/artists").text
    assert bo.client.get("/api/artists").json() == []
    for ask in (bo.client.get, bo.client.delete):
        assert ask("/api/artist?name=J. Doe").status_code == 404
    assert anna.client.delete("/api/artist?name=J. Doe").status_code == 204
    assert anna.client.get("/api/artists").json() == []


class Listener:
    """Someone who is called back, and answers with ``statuses`` in turn."""

    def __init__(self, *statuses: int) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        calls, left = self.calls, list(statuses)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                calls.append((dict(self.headers), body))
                status = left.pop(0)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/done?x=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_a_webhook_is_called_when_a_job_is_over_until_it_is_answered(shared) -> None:
    listener = Listener(500, 302, 204)
    anna = shared.as_user(shared.join("Anna"))
    job = anna.order("private name.png", webhook=listener.url)
    caller = shared.app.state.policy.expect.__self__
    assert caller.due() == []
    anna.finish(job["id"])
    assert caller.due() == [(job["id"], 0)]
    assert not caller.deliver(job["id"], 0)
    assert not caller.deliver(job["id"], 0), "whoever counts the attempt makes it"
    assert caller.due() == [], "not at once"
    assert caller.due(time.time() + 61) == [(job["id"], 1)]
    assert not caller.deliver(job["id"], 1)
    assert caller.deliver(job["id"], 2)
    assert caller.due(time.time() + 3600) == []
    assert len(listener.calls) == 3
    listener.server.shutdown()
    headers, body = listener.calls[-1]
    told = json.loads(body)
    assert (told["type"], told["data"]["id"], told["data"]["state"]) == ("job.finished", job["id"], "done")
    assert b"private name" not in body
    secret = anna.client.get("/api/account").json()["webhook_secret"]
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = b64encode(hmac.new(b64decode(secret.removeprefix("whsec_")), text, sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"


def test_a_host_that_answers_byte_by_byte_is_given_up(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes within the time that a socket may take; all of them would take for ever."""
    monkeypatch.setattr(webhooks, "PATIENCE", 1.0)
    quiet, ended = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                while not quiet.wait(0.2):
                    connection.sendall(b"H")
            ended.set()

        threading.Thread(target=drip, daemon=True).start()
        anna = shared.as_user(shared.join("Anna"))
        job = anna.order("a.png", webhook=f"http://127.0.0.1:{server.getsockname()[1]}/")
        anna.finish(job["id"])
        assert not shared.app.state.policy.expect.__self__.deliver(job["id"], 0)
        assert ended.wait(60)
        quiet.set()


def test_the_end_comes_in_a_handshake_and_before_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "PATIENCE", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, and says nothing
        connection = webhooks._To("127.0.0.1", "127.0.0.1", server.getsockname()[1], encrypted=True)
        threading.Timer(0.5, connection.end).start()
        began = time.monotonic()
        with pytest.raises(OSError, match="EOF"):
            connection.connect()
        assert time.monotonic() - began < 30
        connection.close()
        late = webhooks._To("127.0.0.1", "127.0.0.1", server.getsockname()[1], encrypted=False)
        late.end()
        with pytest.raises(TimeoutError):
            late.connect()
        late.close()


def test_a_call_that_never_comes_back_holds_up_no_other(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "LOOK_EVERY", 0.05)
    listener, anna = Listener(204), shared.as_user(shared.join("Anna"))
    slow = anna.order("a.png", webhook="https://example.com/")
    anna.finish(slow["id"])
    caller = shared.app.state.policy.expect.__self__
    stuck, deliver = threading.Event(), type(caller).deliver
    held = lambda self, id, n: stuck.wait() if id == slow["id"] else deliver(self, id, n)  # noqa: E731
    monkeypatch.setattr(type(caller), "deliver", held)
    monkeypatch.setattr(webhooks, "PATIENCE", 0.2)

    async def rounds() -> None:
        calling = asyncio.create_task(caller.call())
        await asyncio.sleep(0.3)  # the first is stuck by now
        quick = await asyncio.to_thread(anna.order, "b.png", webhook=listener.url)
        await asyncio.to_thread(anna.finish, quick["id"])
        monkeypatch.setattr(webhooks, "PATIENCE", 10.0)
        while not listener.calls:
            await asyncio.sleep(0.05)
        calling.cancel()
        stuck.set()

    try:
        asyncio.run(asyncio.wait_for(rounds(), 60))
    finally:
        stuck.set()
    listener.server.shutdown()


def test_previews_which_go_first_are_not_without_number(shared) -> None:
    anna = shared.as_user(shared.join("Anna"))
    wish = {"picture": anna.hand_in()["id"], "x": 0.5, "y": 0.5}
    codes = [anna.client.post("/api/previews", json=wish).status_code for _ in range(21)]
    assert codes == [202] * 20 + [429]


def test_room_is_asked_for_again_when_a_picture_is_there(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = shared.as_user(shared.join("Anna"))
    policy, rooms = shared.app.state.policy, [10**6, 10]  # bytes
    monkeypatch.setattr(type(policy), "room", lambda *_: rooms.pop(0))
    answer = anna.client.post("/api/pictures", content=shared.picture)
    assert (answer.status_code, rooms) == (413, [])
    assert not [name for name in anna.files() if name.startswith("uploads")]
    assert anna.client.get("/api/account").json()["pictures_kept"] == 0


def test_a_picture_that_cannot_be_stored_is_not_entered(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = shared.as_user(shared.join("Anna"))

    def push(*_: object) -> None:
        raise OSError("no route to the bucket")

    monkeypatch.setattr(type(files()), "push", push)
    with pytest.raises(OSError, match="bucket"):
        anna.client.post("/api/pictures", content=shared.picture)
    assert anna.client.get("/api/account").json()["pictures_kept"] == 0


def test_the_same_key_of_two_users_is_two_jobs(shared) -> None:
    ids = []
    for name in ("Anna", "Bo"):
        site = shared.as_user(shared.join(name))
        wish = {"pictures": [site.hand_in()["id"]]}
        twice = [site.client.post("/api/jobs", json=wish, headers={"Idempotency-Key": "1"}).json()["id"] for _ in "ab"]
        assert twice[0] == twice[1]
        assert site.client.get("/api/account").json()["pictures_today"] == 1
        ids.append(twice[0])
    assert ids[0] != ids[1]


def test_the_same_order_twice_at_once_is_paid_for_once(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = shared.as_user(shared.join("Anna"))
    wish = {"pictures": [anna.hand_in()["id"]], "webhook": "https://example.com/"}
    headers = {"Idempotency-Key": "1"}
    first = anna.client.post("/api/jobs", json=wish, headers=headers)
    known, calls = Store.by_key, []
    # The second has looked before the first was entered.
    late = lambda self, key: calls.append(key) or (known(self, key) if len(calls) > 1 else None)  # noqa: E731
    monkeypatch.setattr(Store, "by_key", late)
    second = anna.client.post("/api/jobs", json=wish, headers=headers)
    assert (first.status_code, second.status_code, len(calls)) == (201, 200, 2)
    assert first.json()["id"] == second.json()["id"]
    assert anna.client.get("/api/account").json()["pictures_today"] == 1
    refused = {"pictures": [anna.hand_in()["id"]], "webhook": "https://10.0.0.1/"}
    assert anna.client.post("/api/jobs", json=refused).status_code == 422
    object.__setattr__(shared.app.state.policy, "quota", Quota(pictures=1))
    assert anna.client.post("/api/jobs", json=refused | {"webhook": "https://example.com/"}).status_code == 429
    assert anna.client.get("/api/account").json()["pictures_today"] == 1
    with shared.queue.engine.connect() as connection:
        assert [row.job for row in connection.execute(tables.webhooks.select())] == [first.json()["id"]]


def test_pictures_on_their_way_are_counted(shared) -> None:
    anna = shared.as_user(shared.join("Anna"))
    policy, who = shared.app.state.policy, Visitor(shared.accounts.users()[1].id)
    free = policy.room(who)
    with contextlib.ExitStack() as stack:
        arrivals = [stack.enter_context(policy.arriving(who)) for _ in range(MOST_ARRIVING)]
        refused = anna.client.post("/api/pictures", content=shared.picture)
        assert (refused.status_code, "8 may be on their way" in refused.text) == (429, True)
        shared.as_user(shared.join("Bo")).hand_in()
        arrivals[0].size = 1000
        assert (policy.room(who), policy.room(who, arrivals[0])) == (free - 1000, free)
        arrivals[1].size = 120_000
        with pytest.raises(TooMuch, match="are kept at a time"):
            policy.room(who)
    assert policy.room(who) == free
    anna.hand_in()


def test_older_jobs_are_reached_page_by_page(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velatura.server.pages.PAGE", 2)
    monkeypatch.setattr(Store.jobs, "__kwdefaults__", Store.jobs.__kwdefaults__ | {"most": 2})
    anna = shared.as_user(shared.join("Anna"))
    jobs = [anna.order(f"{n}.png") for n in range(4)][::-1]
    for job in jobs:
        anna.finish(job["id"])
    before = jobs[1]["created"]
    assert [job["id"] for job in anna.client.get("/api/jobs").json()] == [job["id"] for job in jobs[:2]]
    older = anna.client.get("/api/jobs", params={"before": before}).json()
    assert [job["id"] for job in older] == [job["id"] for job in jobs[2:]]
    page = anna.client.get("/queue").text
    assert f'href="/queue?before={before}"' in page
    page = anna.client.get(f"/queue?before={before}").text
    assert all(job["id"] in page for job in jobs[2:])
    assert jobs[0]["id"] not in page
    assert f'hx-get="/queue/list?before={before}"' in page
    assert "Nothing older" in anna.client.get("/queue/list?before=1").text


def test_a_zip_fetches_what_lies_elsewhere(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELATURA_FILES", "memory://shop")
    anna = shared.as_user(shared.join("Anna"))
    job = anna.order("a.png", "b.png")
    anna.finish(job["id"])
    assert anna.client.get(f"/api/jobs/{job['id']}/zip").status_code == 200
    for picture in shared.queue.store.job(job["id"]).pictures:
        if picture.number:
            files().push(picture.output)
        picture.output.unlink()
    packed = anna.client.get(f"/api/jobs/{job['id']}/zip")
    assert zipfile.ZipFile(io.BytesIO(packed.content)).namelist() == ["b.png"]


def test_waiting_pages_are_counted_and_are_not_endless(shared) -> None:
    from types import SimpleNamespace

    from fastapi import HTTPException

    from velatura.server.job_events import MOST_OPEN, listening
    from velatura.server.policy import VISITOR, Visitor

    async def wait() -> int:
        request = SimpleNamespace(app=shared.app, scope={VISITOR: Visitor("anna")})
        pages = [listening(request) for _ in range(MOST_OPEN + 1)]
        for page in pages[:-1]:
            await anext(page)
        with pytest.raises(HTTPException, match="429"):
            await anext(pages[-1])
        with pytest.raises(StopAsyncIteration):  # one is closed
            await anext(pages[0])
        await anext(listening(request))
        return shared.app.state.events.open["anna"]

    assert asyncio.run(wait()) <= MOST_OPEN


def test_health_asks_nothing(shared) -> None:
    answer = shared.visitor(Host="10.0.0.7").get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_logs_hold_routes_and_no_names(
    shared, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    from velatura.server.shared.logging_metrics import log_lines

    # What follows must not log to this test's closed stream.
    monkeypatch.setattr(logging.root, "handlers", [*logging.root.handlers])
    log_lines()
    anna = shared.as_user(shared.join("Anna"))
    job = anna.order("secret title.png")
    anna.client.get("/api/jobs/secret title")
    anna.client.post("/api/pictures?name=broken secret.png", content=b"hello")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {"/api/pictures", "/api/jobs"} <= {line.get("route") for line in lines}
    text = json.dumps(lines)
    assert "secret" not in text
    assert job["id"] not in text


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil", "/a?b c", "", "/x\r\n", "x:y"])
def test_one_is_sent_on_to_this_server_alone(path: str) -> None:
    assert own(path) == "/"
    assert own("/jobs/3f2a-1") == "/jobs/3f2a-1"
    assert own("/queue?before=1.5") == "/queue?before=1.5"


@pytest.mark.parametrize(
    "origin", ["http://studio.example", "https://studio.example/", "studio.example", "https://A.b"]
)
def test_an_origin_is_encrypted_and_nothing_else(origin: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        ServerOptions([origin])


def test_an_invitation_survives_a_restart(shared) -> None:
    token = shared.accounts.invite()
    again = Accounts(shared.queue.engine, (shared.data / "server.secret").read_text())
    assert again.invitation(token).user is None
    assert (shared.data / "server.secret").stat().st_mode & 0o077 == 0
