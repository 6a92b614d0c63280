"""The pages of the artists' study. A rater comes with a signed link, which is all that lets them in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from velatura.jobs.files import files
from velatura.jobs.queue import JobQueue
from velatura.server.guard import STUDY as PREFIX
from velatura.study.answers import BACKGROUNDS, Studies, Study
from velatura.study.statistics import LEVELS

LINK = re.compile(r"[0-9a-f]{12}\.[0-9]{1,6}\.[\w-]{20,100}", re.ASCII)
PictureId = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
MOST_FORM = 2000  # bytes


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form, each once; FastAPI's own would need another package."""
    body = await request.body()
    if len(body) > MOST_FORM:
        raise HTTPException(413, "form: too long")
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=10))
    except ValueError:
        raise HTTPException(422, "form: too many fields") from None


Form = Annotated[dict[str, str], Depends(_form)]


def router(queue: JobQueue) -> APIRouter:
    """All pages beneath ``PREFIX``; none is part of the API's description."""
    site = APIRouter(prefix=PREFIX.rstrip("/"), include_in_schema=False, default_response_class=HTMLResponse)
    studies = Studies(queue.engine, files())
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates = Jinja2Templates(env=environment)

    def show(request: Request, name: str, about: dict[str, Any]) -> Response:
        return templates.TemplateResponse(request, name, about)

    def known(link: str) -> tuple[Study, int]:
        found = studies.rater_of(link) if LINK.fullmatch(link) else None
        if found is None:
            raise HTTPException(404, "study: this link is not one of ours, or the study is over")
        return found

    @site.get("/{link}")
    def page(request: Request, link: str) -> Response:
        study, number = known(link)
        question, done, of = studies.next(study, number)
        about = {"study": study, "link": link, "done": done, "of": of}
        if studies.rater(study, number).begun is None:
            return show(request, "study_welcome.html", about | {"backgrounds": BACKGROUNDS})
        if question is None:
            return show(request, "study_thanks.html", about)
        studies.look(study, number, question)
        return show(request, "study_question.html", about | {"question": question, "levels": LEVELS})

    @site.post("/{link}/begin")
    def begin(link: str, form: Form) -> Response:
        study, number = known(link)
        if form.get("background") not in BACKGROUNDS or form.get("agreed") != "true":
            raise HTTPException(422, "study: expected what you say about yourself, and your agreement")
        studies.begin(study, number, form["background"])
        return RedirectResponse(PREFIX + link, 303)

    @site.post("/{link}/rate")
    def rate(link: str, form: Form) -> Response:
        study, number = known(link)
        level = form.get("level", "")
        if level not in ("1", "2", "3", "4", "5"):
            raise HTTPException(422, "study: expected one of the five levels")
        # An answer to another question than the one that is open changes nothing.
        studies.rate(study, number, form.get("question", ""), int(level))
        return RedirectResponse(PREFIX + link, 303)

    @site.get("/{link}/{picture}.webp")
    def picture(link: str, picture: PictureId) -> Response:
        study, number = known(link)
        mine = {id for question in study.asked(number) for id in (*question.real, *question.shown)}
        path = studies.folder(study) / f"{picture}.webp"
        files().pull(path)
        if picture not in mine or not path.is_file():
            raise HTTPException(404, "picture: not one of yours")
        return FileResponse(path, media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"})

    return site
