"""Who may ask the application: this launch's browser, and nobody else."""

from __future__ import annotations

import importlib
import re
import threading
from html.parser import HTMLParser

import pytest

pytest.importorskip("fastapi", reason="needs the extra web")
from velatura.server.app import Launch, create_app
from velatura.server.catalogue import STATIC
from velatura.server.guard import TICKET_SECONDS

PORT, TOKEN = 8377, "the-token-of-this-launch"
HOST = f"127.0.0.1:{PORT}"
OWN, COOKIE = {"Origin": f"http://{HOST}"}, {"Cookie": f"velatura-{PORT}={TOKEN}"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Cookie": f"velatura-{PORT}=wrong"}, 401),
        ({"Cookie": f"velatura-1={TOKEN}"}, 401),  # of another port
        ({"Cookie": "=; ,,;"}, 401),
        (BEARER, 200),
        (COOKIE, 200),
        ({"Cookie": f'prefs={{"theme":"dark"}}; a[]=b; {COOKIE["Cookie"]}'}, 200),  # of other programs of this machine
        (COOKIE | {"Authorization": "Basic YTpi"}, 200),  # a proxy's
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        (BEARER | {"Host": f"localhost:{PORT}"}, 200),
        (BEARER | {"Host": "evil.example"}, 421),  # DNS rebinding
        (BEARER | {"Host": f"127.0.0.1.evil.example:{PORT}"}, 421),
        (BEARER | {"Host": "127.0.0.1:1"}, 421),
        (BEARER | OWN, 200),
        (BEARER | {"Origin": "https://evil.example"}, 403),
        (BEARER | {"Origin": "null"}, 403),
        (BEARER | {"Origin": "http://127.0.0.1:1"}, 403),
        (COOKIE | {"Sec-Fetch-Site": "cross-site"}, 403),
        (COOKIE | {"Sec-Fetch-Site": "same-site"}, 403),  # another port of this machine
        (COOKIE | {"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_reading(site, headers: dict[str, str], status: int) -> None:
    del site.client.headers["Authorization"]
    for path in ("/api/jobs", "/", "/api/openapi.json"):
        assert site.client.get(path, headers=headers).status_code == status, path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (COOKIE | OWN, 201),
        (BEARER, 201),  # no browser: a program that knows the token
        (COOKIE, 403),
        (COOKIE | {"Origin": "https://evil.example"}, 403),
        (COOKIE | {"Origin": "null"}, 403),
        (OWN, 401),
    ],
)
def test_writing(site, headers: dict[str, str], status: int) -> None:
    del site.client.headers["Authorization"]
    answer = site.client.post("/api/pictures?name=a.png", content=site.picture, headers=headers)
    assert answer.status_code == status
    assert bool(site.files()) == (status == 201)


def test_the_address_of_the_launch_sets_a_cookie_and_hides_the_token(site) -> None:
    del site.client.headers["Authorization"]
    assert site.client.get("/?token=wrong").status_code == 401
    assert site.client.post(f"/api/jobs?token={TOKEN}", json={}).status_code == 401
    opened = site.client.get(f"/queue?a=b&token={TOKEN}")
    assert (opened.status_code, opened.headers["location"]) == (303, "/queue?a=b")
    cookie = opened.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", f"velatura-{PORT}="))
    site.client.cookies.set(f"velatura-{PORT}", TOKEN)
    assert site.client.get("/queue").status_code == 200
    lost = site.client.get("/", headers={"Cookie": "none=1", "Accept": "text/html"})
    assert lost.status_code == 401
    assert "earlier launch" in lost.text


@pytest.mark.parametrize("late", [False, True])
def test_the_address_that_a_browser_is_started_with_lets_in_once_and_for_a_minute(site, late: bool) -> None:
    launch = Launch(PORT, TOKEN, worker=False)
    client = type(site.client)(create_app(site.queue, launch), base_url=f"http://{HOST}", follow_redirects=False)
    assert launch.opening != launch.address
    if late:
        launch.ticket.until -= TICKET_SECONDS
    statuses = [client.get(launch.opening, headers={"Cookie": "none=1"}).status_code for _ in range(2)]
    assert statuses == ([401, 401] if late else [303, 401])
    assert client.get("/queue").status_code == (401 if late else 200)
    for _ in range(2):
        assert client.get(launch.address, headers={"Cookie": "none=1"}).status_code == 303


def test_the_printed_address_is_not_on_the_browsers_command_line(site, monkeypatch, capsys) -> None:
    opened: list[str] = []
    there = threading.Event()
    monkeypatch.setattr("webbrowser.open", lambda address: (opened.append(address), there.set()))
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: there.wait(60))
    command = importlib.import_module("velatura.cli.app").app_command
    command.main(["--port", "0"], standalone_mode=False)
    printed = re.search(r"token=(\S+)", capsys.readouterr().err)
    assert printed is not None
    assert "token=" in opened[0]
    assert printed[1] not in opened[0]


SEEN = {"Accept": "text/html,*/*;q=0.8"}
HTMX = {"Accept": "text/html", "HX-Request": "true"}


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_programs_and_scripts_are_turned_away_in_json(site, headers: dict[str, str]) -> None:
    for more, status in (({}, 200), ({"Authorization": "x"}, 401), ({"Host": "evil.example"}, 421)):
        answer = site.client.get("/queue/list", headers=headers | more)
        assert answer.status_code == status
        assert status == 200 or answer.json().keys() == {"detail"}
    answer = site.client.get(f"/jobs/{'0' * 36}", headers=headers)
    assert (answer.status_code, answer.json()) == (404, {"detail": "job: none of this id"})


def test_people_see_errors_as_pages(site) -> None:
    for path, status in ((f"/jobs/{'0' * 36}", 404), ("/nowhere", 404), ("/jobs/x", 422), ("/artist", 422)):
        answer = site.client.get(path, headers=SEEN)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
        assert 'href="/"' in answer.text, path
        assert "deleted 30 days after" in answer.text, path
    rater = site.client.get("/study/nobody", headers=SEEN)
    assert rater.status_code == 404
    assert "this link is not one of ours" in rater.text
    assert 'href="/"' not in rater.text
    assert site.client.get("/api/jobs/x", headers=SEEN).headers["content-type"] == "application/json"


def test_a_shared_server_behind_a_proxy_that_asks_for_a_password(shared) -> None:
    basic = {"Authorization": "Basic YTpi"}
    assert shared.client.get("/api/jobs", headers=basic).status_code == 200
    stranger = shared.visitor()
    login = stranger.get("/artist?name=Anna+B%26C", headers=basic | SEEN).headers["location"]
    assert login == "/login?next=%2Fartist%3Fname%3DAnna%2BB%2526C"
    shown = re.search(r'name="next" value="([^"]*)"', stranger.get(login).text)
    assert shown is not None
    form = {"next": shown[1], "name": "Ada", "password": "correct horse battery"}
    assert stranger.post("/login", data=form, headers=basic).headers["location"] == "/artist?name=Anna+B%26C"
    over = shared.visitor().get("/queue/list", headers=HTMX)
    assert (over.status_code, "log in again" in over.json()["detail"]) == (401, True)
    assert shared.client.post("/logout").headers["clear-site-data"] == '"cache"'


def test_pages_carry_a_strict_policy_and_keep_to_it(site) -> None:
    job = site.order("a.png", "<img src=x onerror=alert(1)>.png")
    site.finish(job["id"])
    paths = ["/", "/styles", "/queue", "/queue/list", "/about", f"/jobs/{job['id']}", f"/jobs/{job['id']}/1"]
    for path in [*paths, "/static/app.js", "/api/jobs", "/nowhere"]:
        answer = site.client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        assert answer.status_code == (404 if path == "/nowhere" else 200), path
    for path in paths:
        for tag, attributes in tags(site.client.get(path).text):
            assert "style" not in attributes, path
            assert not any(name.startswith("on") for name in attributes), path
            assert tag != "style", path
            assert tag != "script" or attributes["src"], path
            assert not any((attributes.get(name) or "").startswith(("http", "//")) for name in ("src", "href")), path
            assert (tag, attributes.get("src")) != ("img", "x")


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(html)
    assert found
    return found


def test_nothing_of_ours_is_fetched_from_elsewhere() -> None:
    for name in ("app.js", "app.css", "vendor/img-comparison-slider-8.0.7.css"):
        assert not re.search(r"https?://|//cdn|@import", (STATIC / name).read_text()), name
    vendored = {path.name for path in (STATIC / "vendor").iterdir()}
    assert {"htmx-LICENSE.txt", "img-comparison-slider-LICENSE.txt"} < vendored
