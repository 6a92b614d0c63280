"""The API: everything that the pages do, described by OpenAPI at /api/openapi.json."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from velatura.server.api.choices import add_choices
from velatura.server.api.jobs import add_events, add_jobs
from velatura.server.api.pictures import add_pictures
from velatura.server.api.results import add_files, add_previews
from velatura.server.schema import Problem

TURNED_AWAY: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token of this launch; on a shared server, no session and no API key."},
    429: {"model": Problem, "description": "Too often, or too much, for now; on a shared server."},
}


def router() -> APIRouter:
    """All routes under /api."""
    api = APIRouter(prefix="/api", responses=TURNED_AWAY)
    for add in (add_pictures, add_jobs, add_events, add_files, add_previews, add_choices):
        add(api)
    return api
