"""Studies and their answers, in tables of a database; pictures lie under ``studies`` in the folder of files."""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from itsdangerous import BadSignature, Signer

from velatura.errors import InputError

metadata = sa.MetaData()
studies = sa.Table(
    "velatura_studies",
    metadata,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("secret", sa.String(64), nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)
raters = sa.Table(
    "velatura_raters",
    metadata,
    sa.Column("study", sa.ForeignKey(studies.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("background", sa.String(16)),
    sa.Column("begun", sa.Float),
    sa.Column("looking_at", sa.String(16)),
    sa.Column("since", sa.Float),
)
ratings = sa.Table(
    "velatura_ratings",
    metadata,
    sa.Column("study", sa.String(12), primary_key=True),
    sa.Column("rater", sa.Integer, primary_key=True),
    sa.Column("question", sa.String(16), primary_key=True),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.ForeignKeyConstraint(["study", "rater"], [raters.c.study, raters.c.number], ondelete="CASCADE"),
)
BACKGROUNDS = {"professional": "I make art for a living", "artist": "I make art", "other": "I do not make art"}
INSTRUCTED, CHECKS = "instructed", ("instructed", "genuine", "foreign")


class Place(Protocol):
    """Where pictures lie, so that every machine finds them: ``jobs.files.Files`` is one."""

    root: Path

    def push(self, *paths: Path) -> None: ...
    def remove(self, folder: Path) -> bool: ...


@dataclass(frozen=True)
class Question:
    """``real``, ``shown``: pictures by id. ``kind``: mimicry, or an attention check, passed by ``expected`` levels."""

    id: str
    kind: str
    artist: str
    arm: str
    real: tuple[str, ...]
    shown: tuple[str, ...]
    expected: tuple[int, ...] = ()


@dataclass(frozen=True)
class Study:
    """``questions``: in an order in which any stretch has every arm alike. ``each``: how many of them a rater gets."""

    id: str
    title: str
    secret: str
    questions: tuple[Question, ...]
    each: int
    seed: int
    synthetic: bool
    plan: dict[str, Any]

    def link(self, number: int) -> str:
        """The part of an address that lets one rater in: signed, so that nobody can make up another."""
        return _signer(self.secret).sign(f"{self.id}.{number}").decode()

    def asked(self, number: int) -> list[Question]:
        """What one rater is asked, in an order of their own; the same whenever it is asked for.

        Raters take turns through the questions, so that all are answered about as often.
        """
        own = [q for q in self.questions if q.kind == "mimicry"]
        start = (number - 1) * self.each
        mine = [own[(start + i) % len(own)] for i in range(min(self.each, len(own)))]
        draw = random.Random(f"{self.seed}:{self.id}:{number}")
        draw.shuffle(mine)
        for kind in CHECKS:
            if checks := [q for q in self.questions if q.kind == kind]:
                mine.insert(draw.randint(1, len(mine)), draw.choice(checks))  # not the first: one has to get used to it
        return mine


class Studies:
    """All studies of a database, and ``place``, where their pictures lie."""

    def __init__(self, engine: sa.Engine, place: Place) -> None:
        self.engine, self.place = engine, place
        metadata.create_all(engine)

    def folder(self, study: Study) -> Path:
        """Where a study's pictures are."""
        return folder_of(self.place, study.id)

    def add(self, title: str, plan: dict[str, Any], count: int, id: str) -> Study:
        row = {"id": id, "title": title, "plan": plan, "secret": secrets.token_hex(32), "created": time.time()}
        with self.engine.begin() as connection:
            connection.execute(studies.insert().values(**row))
            connection.execute(raters.insert(), [{"study": id, "number": i + 1} for i in range(count)])
        found = self.study(id)
        assert found is not None
        return found

    def invite(self, study: Study, count: int) -> list[int]:
        """More raters; their numbers."""
        with self.engine.begin() as connection:
            query = sa.select(sa.func.coalesce(sa.func.max(raters.c.number), 0)).where(raters.c.study == study.id)
            last = int(connection.execute(query).scalar_one())
            numbers = list(range(last + 1, last + 1 + count))
            connection.execute(raters.insert(), [{"study": study.id, "number": n} for n in numbers])
        return numbers

    def study(self, id: str) -> Study | None:
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(studies).where(studies.c.id == id)).mappings().first()
        if row is None:
            return None
        plan = row["plan"]
        lists = ("real", "shown", "expected")
        questions = tuple(Question(**q | {name: tuple(q[name]) for name in lists}) for q in plan["questions"])
        each, seed, synthetic = plan["each"], plan["seed"], plan["synthetic"]
        return Study(id, row["title"], row["secret"], questions, each, seed, synthetic, plan)

    def find(self, id: str) -> Study:
        """The study of this id, as a person gave it."""
        found = self.study(id)
        if found is None:
            raise InputError(
                f"study {id!r}: there is none in this database; velatura lab study list names those that are"
            )
        return found

    def all(self) -> list[Study]:
        with self.engine.connect() as connection:
            ids = connection.execute(sa.select(studies.c.id).order_by(studies.c.created)).scalars().all()
        return [study for study in map(self.study, ids) if study is not None]

    def rater_of(self, link: str) -> tuple[Study, int] | None:
        """Who comes with a link; None where it was not made here, or its study was deleted."""
        study = self.study(link.partition(".")[0])
        if study is None:
            return None
        try:
            value = _signer(study.secret).unsign(link).decode()
        except BadSignature:
            return None
        number = int(value.rpartition(".")[2])
        return (study, number) if self.rater(study, number) is not None else None

    def rater(self, study: Study, number: int) -> Any:
        """The rater's row: background, begun, looking_at, since."""
        with self.engine.connect() as connection:
            return connection.execute(sa.select(raters).where(_who(study, number))).first()

    def begin(self, study: Study, number: int, background: str) -> None:
        with self.engine.begin() as connection:
            first = _who(study, number) & raters.c.begun.is_(None)
            connection.execute(raters.update().where(first).values(background=background, begun=time.time()))

    def next(self, study: Study, number: int) -> tuple[Question | None, int, int]:
        """What the rater has to answer next, how many they have answered, and of how many."""
        asked = study.asked(number)
        query = sa.select(ratings.c.question).where((ratings.c.study == study.id) & (ratings.c.rater == number))
        with self.engine.connect() as connection:
            answered = set(connection.execute(query).scalars())
        left = [question for question in asked if question.id not in answered]
        return (left[0] if left else None), len(asked) - len(left), len(asked)

    def look(self, study: Study, number: int, question: Question) -> None:
        """The rater sees a question; from the first time on its seconds are counted."""
        with self.engine.begin() as connection:
            fresh = sa.or_(raters.c.looking_at.is_(None), raters.c.looking_at != question.id)
            now = {"looking_at": question.id, "since": time.time()}
            connection.execute(raters.update().where(_who(study, number) & fresh).values(**now))

    def rate(self, study: Study, number: int, question: str, level: int) -> bool:
        """Keep an answer; False where this is not what the rater was asked. The first answer counts."""
        wanted, _, _ = self.next(study, number)
        rater = self.rater(study, number)
        if wanted is None or wanted.id != question or rater.begun is None or rater.looking_at != question:
            return False
        now = time.time()
        row = {"study": study.id, "rater": number, "question": question, "level": level}
        try:
            with self.engine.begin() as connection:
                connection.execute(ratings.insert().values(**row, seconds=now - rater.since, at=now))
        except sa.exc.IntegrityError:  # pressed twice
            return False
        return True

    def answers(self, study: Study) -> Iterator[tuple[Any, Question, Any]]:
        """Rater, question and answer, one by one in the order in which they came."""
        questions = {question.id: question for question in study.questions}
        people = {row.number: row for row in self.people(study)}
        query = sa.select(ratings).where(ratings.c.study == study.id).order_by(ratings.c.at)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            yield people[row.rater], questions[row.question], row

    def people(self, study: Study) -> list[Any]:
        with self.engine.connect() as connection:
            query = sa.select(raters).where(raters.c.study == study.id).order_by(raters.c.number)
            return list(connection.execute(query))

    def delete(self, study: Study) -> None:
        """With all answers and pictures."""
        self.place.remove(self.folder(study))
        with self.engine.begin() as connection:
            connection.execute(ratings.delete().where(ratings.c.study == study.id))
            connection.execute(raters.delete().where(raters.c.study == study.id))
            connection.execute(studies.delete().where(studies.c.id == study.id))


def folder_of(place: Place, id: str) -> Path:
    return place.root / "studies" / id


def _who(study: Study, number: int) -> sa.ColumnElement[bool]:
    return (raters.c.study == study.id) & (raters.c.number == number)


def _signer(secret: str) -> Signer:
    return Signer(secret, salt="velatura study", digest_method=hashlib.sha256)
