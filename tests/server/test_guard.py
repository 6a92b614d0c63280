"""Who may ask the application: this launch's browser, and nobody else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("fastapi", reason="needs the extra web")
from velatura.server.catalogue import STATIC

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
