"""A profile for each artist: the pictures, the target style that is kept for them, how alike they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from velatura.jobs.queue import JobQueue
from velatura.server.pages import Show
from velatura.server.policy import Queue, Visitor, Who
from velatura.server.schema import Problem, StyleOut

ENOUGH = 3  # pictures, to say how alike they are
ALIKE, MIXED = 0.75, 1.25  # of what is usual within one artist
Name = Annotated[str, Query(max_length=120)]


class ArtistPicture(BaseModel):
    """A picture that was made for an artist and is still here."""

    job: str
    number: int
    name: str
    state: str
    verdict: str | None
    distance: float | None = Field(description="From the middle of the set, in usual spreads within one artist.")


class ArtistOut(BaseModel):
    """An artist's profile. Distances are in the style space, in usual spreads within one artist."""

    name: str
    style: StyleOut | None = Field(description="The target style that is kept for all pictures, now and later.")
    style_distance: float | None = Field(description="From the middle of the set to the target's.")
    spread: float | None = Field(description="How far the pictures lie from their middle; 1 is usual for one artist.")
    measured: int = Field(description="Pictures that this rests on.")
    pictures: list[ArtistPicture]


def router(show: Show) -> APIRouter:
    """The pages, and the API that they show."""
    both = APIRouter(responses={404: {"model": Problem}})

    @both.get("/api/artists")
    def all_artists(queue: Queue, who: Who) -> list[str]:
        """The artists whose target style is kept."""
        return sorted(_kept(who))

    @both.get("/api/artist")
    def one_artist(name: Name, queue: Queue, who: Who) -> ArtistOut:
        """An artist's profile."""
        return _profile(name, queue, who)

    @both.delete("/api/artist", status_code=204)
    def forget_artist(name: Name, who: Who) -> None:
        """Forget an artist's target style; pictures that come later get another. What was made stays as it is."""
        from velatura.styles.choose import forget

        if name not in _kept(who):
            raise HTTPException(404, "artist: none of this name")
        forget(who.artist(name))

    @both.get("/artists", include_in_schema=False, response_class=HTMLResponse)
    def artists_page(request: Request, queue: Queue, who: Who) -> Response:
        found = [_profile(name, queue, who) for name in sorted(_kept(who))]
        return show(request, "artists.html", {"artists": found})

    @both.get("/artist", include_in_schema=False, response_class=HTMLResponse)
    def artist_page(request: Request, name: Name, queue: Queue, who: Who) -> Response:
        artist = _profile(name, queue, who)
        return show(request, "artist.html", {"artist": artist, "alike": alike(artist.spread)})

    return both


def _kept(who: Visitor) -> dict[str, str]:
    """Artist to name of style, of those that are this visitor's."""
    from velatura.styles.choose import profiles

    end = who.artist("")
    return {name.removesuffix(end): style for name, style in profiles().items() if name.endswith(end)}


def _profile(name: str, queue: JobQueue, who: Visitor) -> ArtistOut:
    from velatura.styles.catalogue import load
    from velatura.styles.choose import centroid

    style = _kept(who).get(name)
    jobs = [job for job in queue.store.jobs(most=1000) if job.order["settings"].get("artist") == who.artist(name)]
    if style is None and not jobs:
        raise HTTPException(404, "artist: none of this name")
    book = load()
    places = {
        (job.id, int(n)): place[: len(book.numbers)]
        for job in jobs
        for n, place in job.choice.get("places", {}).items()
    }
    middle = centroid(list(places.values())) if places else None
    far = {key: book.distance(place, middle) for key, place in places.items() if middle}
    target = next((s for s in book.styles if s.name == style), None)
    return ArtistOut(
        name=name,
        style=_style(style) if style else None,
        style_distance=round(book.distance(middle, target.centroid), 3) if middle and target else None,
        spread=spread(list(far.values())),
        measured=len(far),
        pictures=[
            ArtistPicture(
                job=job.id,
                number=p.number,
                name=p.name,
                state=p.state,
                verdict=p.summary.get("verdict", {}).get("word"),
                distance=round(far[job.id, p.number], 3) if (job.id, p.number) in far else None,
            )
            for job in jobs
            for p in job.pictures
        ],
    )


def _style(name: str) -> StyleOut | None:
    from velatura.server.catalogue import styles

    return next((style for style in styles() if style.name == name), None)


def spread(distances: Sequence[float]) -> float | None:
    """Standard deviation of pictures from their own middle; None of too few to say."""
    if len(distances) < ENOUGH:
        return None
    return round(math.sqrt(sum(d * d for d in distances) / (len(distances) - 1)), 3)


def alike(value: float | None) -> str:
    """``spread`` in words."""
    if value is None:
        return f"There are fewer than {ENOUGH} pictures to measure, too few to say how alike they are."
    if value < ALIKE:
        return "These pictures are more alike than one artist's usually are: one target style suits all of them."
    if value <= MIXED:
        return "These pictures are about as alike as one artist's usually are: one target style suits them."
    return (
        "These pictures differ more than one artist's usually do. If they are several bodies of work, give each a name "
        "of its own, so that each gets a target far from it."
    )
