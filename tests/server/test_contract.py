"""Generated requests against the API's own description: no answer is a failure of the server.

Run with ``pytest -m contract``. Each operation gets requests that fit the description and some that do not.
"""

from __future__ import annotations

import os

import pytest

pytest.importorskip("schemathesis", reason="needs schemathesis, of the extra test")
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

ORIGIN = "https://studio.example"
pytestmark = pytest.mark.contract
EXAMPLES = int(os.environ.get("VELATURA_EXAMPLES", "25"))  # of each operation
ENDLESS = "/api/events"  # server-sent events: the answer has no end


@pytest.mark.parametrize("which", ["shared", "site"])
def test_no_request_makes_the_server_fail(which: str, request: pytest.FixtureRequest) -> None:
    site = request.getfixturevalue(which)
    job = site.order("a.png")["id"]
    site.finish(job)
    known = {"/api/jobs": job, "/api/pictures": site.hand_in()["id"]}
    if which == "shared":
        object.__setattr__(site.pace, "limiter", Patient())
    headers = dict(site.client.headers) | ({"Origin": ORIGIN} if which == "shared" else {})
    schema = schemathesis.openapi.from_dict(site.client.get("/api/openapi.json").json())
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    asked, statuses = set(), []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path == ENDLESS or (operation.method, operation.path) in LEAVING:
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case) -> None:
            parts = case.as_transport_kwargs(base_url=str(site.client.base_url).rstrip("/"))
            url = parts.pop("url")
            if case.path_parameters.get("id") and len(statuses) % 2:  # half of them of what is there
                of = next((id for path, id in known.items() if case.path.startswith(path)), None)
                url = case.path.replace("{id}", of) if of and case.path.endswith("{id}") else url
            sent = {k: parts[k] for k in ("params", "json", "data", "content", "cookies") if parts.get(k) is not None}
            extra = {k: v for k, v in (parts.get("headers") or {}).items() if v.isascii() and v.isprintable()}
            if isinstance(sent.get("data"), bytes | str):
                sent["content"] = sent.pop("data")
            answer = site.client.request(case.method, url, headers=extra | headers, **sent)
            statuses.append(answer.status_code)
            assert answer.status_code < 500, (case.method, url, sent, answer.text)

        ask()
        asked.add((operation.method, operation.path))
    assert len(asked) > (25 if which == "shared" else 15)
    assert {200, 404, 422} <= set(statuses)


LEAVING = {("delete", "/api/account"), ("post", "/api/account/password")}  # what comes after them would be refused


class Patient:
    """A rate limiter that lets everything pass: what is to be met is the code behind it."""

    def hit(self, *_: object) -> bool:
        return True
