"""How a study is made: from folders of real and mimicked pictures to questions that do not tell which are which."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from velatura.errors import InputError
from velatura.study.answers import Place, Question, folder_of

REAL = "original"
SIDE = 768  # px, the longest that a picture is shown at


@dataclass(frozen=True)
class Body:
    """An artist: real works, and mimicked pictures by arm."""

    artist: str
    real: tuple[Path, ...]
    arms: dict[str, tuple[Path, ...]]


@dataclass(frozen=True)
class Design:
    """``together``: pictures shown at once, real and mimicked each. ``sets``: questions an arm and artist.

    ``each``: questions a rater gets, besides the attention checks; None: all. ``synthetic``: made to try this out; its
    answers are no person's, and every result says so.
    """

    together: int = 4
    sets: int = 5
    each: int | None = None
    seed: int = 0
    synthetic: bool = False


def body(folder: Path, pictures: Callable[[Path], Sequence[Path]]) -> Body:
    """What a folder holds: an output folder of ``velatura lab evaluate``, or ``original`` and a folder an arm.

    ``pictures`` lists those of a folder.
    """
    if (folder / "pictures.json").is_file():
        return _evaluated(folder, pictures)
    arms = {sub.name: tuple(pictures(sub)) for sub in sorted(folder.iterdir()) if sub.is_dir() and sub.name != REAL}
    arms = {name: found for name, found in arms.items() if found and not name.startswith(".")}
    if not (folder / REAL).is_dir() or not arms:
        raise InputError(
            f"{folder}: expected a folder {REAL} of real works beside a folder an arm of mimicked ones (clean, noise, "
            "...), or an output folder of velatura lab evaluate"
        )
    return Body(folder.resolve().name, tuple(pictures(folder / REAL)), arms)


def _evaluated(folder: Path, pictures: Callable[[Path], Sequence[Path]]) -> Body:
    from velatura.reports.pictures import index_of
    from velatura.reports.result import load

    index = index_of(folder)
    assert index is not None
    several = len({arm["recipe"] for arm in index["arms"]}) > 1
    arms: dict[str, tuple[Path, ...]] = {}
    for arm in index["arms"]:
        name = f"{arm['label']}, {arm['recipe']}" if several else arm["label"]
        arms[name] = arms.get(name, ()) + tuple(pictures(folder / arm["folder"]))
    real = tuple(path for path in map(Path, index["art"]) if path.is_file())
    return Body(str(load(folder / "result.json").settings["artist"]), real, arms)


def plan(bodies: Sequence[Body], design: Design, place: Place) -> tuple[str, dict[str, Any]]:
    """The id of a new study, whose pictures are written, and its plan, as :meth:`Studies.add` takes it."""
    if twice := {b.artist for b in bodies if sum(o.artist == b.artist for o in bodies) > 1}:
        raise InputError(f"study: expected each artist once, got {sorted(twice)[0]} twice: name the folders apart")
    draw = random.Random(design.seed)
    id = secrets.token_hex(6)
    album = _Album(place, id)
    try:
        mimicry = [q for one in bodies for q in _questions(one, design, draw, album)]
        questions = _dealt(mimicry, draw) + _checks(bodies, design, draw, album, mimicry)
    except BaseException:  # a picture that cannot be read: nothing is left of the study
        place.remove(album.folder)
        raise
    each = min(design.each or len(mimicry), len(mimicry))
    tree = {"questions": [asdict(question) for question in questions], "each": each, "seed": design.seed}
    return id, tree | {"synthetic": design.synthetic, "design": asdict(design), "pictures": album.sources}


def _questions(one: Body, design: Design, draw: random.Random, album: _Album) -> list[Question]:
    if len(one.real) < design.together:
        raise InputError(f"{one.artist}: expected {design.together} real works or more, got {len(one.real)}")
    found = []
    for arm, paths in one.arms.items():
        if len(paths) < design.together:
            raise InputError(f"{one.artist}, {arm}: expected {design.together} pictures or more, got {len(paths)}")
        pool = list(paths)
        draw.shuffle(pool)
        for i in range(min(design.sets, len(pool) // design.together)):
            shown = pool[i * design.together : (i + 1) * design.together]
            side = album.side(shown)
            real = draw.sample(list(one.real), design.together)
            found.append(_question("mimicry", one.artist, arm, album.add(real, side), album.add(shown, side)))
    return found


def _checks(
    bodies: Sequence[Body], design: Design, draw: random.Random, album: _Album, mimicry: Sequence[Question]
) -> list[Question]:
    """One of each kind an artist, where the pictures allow it.

    instructed: the page says what to choose. genuine: the "mimicry" is the artist's own. foreign: it is another's.
    """
    found = []
    for one in bodies:
        like = next(q for q in mimicry if q.artist == one.artist)
        level = draw.randint(1, 5)
        found.append(_question("instructed", one.artist, "", like.real, like.shown, (level,)))
        side = album.side(next(iter(one.arms.values())))
        if len(one.real) >= 2 * design.together:
            works = draw.sample(list(one.real), 2 * design.together)
            real, shown = works[: design.together], works[design.together :]
            found.append(_question("genuine", one.artist, "", album.add(real, side), album.add(shown, side), (3, 4, 5)))
        others = [other for other in bodies if other is not one]
        if others:
            real = draw.sample(list(one.real), design.together)
            shown = draw.sample(list(draw.choice(others).real), design.together)
            found.append(_question("foreign", one.artist, "", album.add(real, side), album.add(shown, side), (1, 2, 3)))
    return found


def _question(
    kind: str, artist: str, arm: str, real: Sequence[str], shown: Sequence[str], expected: tuple[int, ...] = ()
) -> Question:
    return Question(secrets.token_hex(8), kind, artist, arm, tuple(real), tuple(shown), expected)


def _dealt(questions: Sequence[Question], draw: random.Random) -> list[Question]:
    """An order in which every stretch has artists and arms alike, as cards are dealt."""
    piles: dict[tuple[str, str], list[Question]] = {}
    for question in questions:
        piles.setdefault((question.artist, question.arm), []).append(question)
    stacks = list(piles.values())
    found = []
    while any(stacks):
        draw.shuffle(stacks)
        found += [stack.pop() for stack in stacks if stack]
    return found


class _Album:
    """Pictures of a study: lossless, without metadata, under names that tell nothing, all of one coarseness."""

    def __init__(self, place: Place, id: str) -> None:
        self.place, self.folder = place, folder_of(place, id)
        self.folder.mkdir(mode=0o700, parents=True)
        self.sources: dict[str, dict[str, str]] = {}
        self.known: dict[tuple[Path, int], str] = {}

    def side(self, paths: Sequence[Path]) -> int:
        """The short side at which these are shown, in px."""
        from velatura.images import read

        return min(min(a.width, a.height) for a in map(read, paths))

    def add(self, paths: Sequence[Path], side: int) -> list[str]:
        return [self.known.get((path, side)) or self._add(path, side) for path in paths]

    def _add(self, path: Path, side: int) -> str:
        from velatura.images import read
        from velatura.images.color import to_srgb

        image = to_srgb(read(path).image)
        scale = min(1.0, side / min(image.width, image.height), SIDE / max(image.width, image.height))
        if scale < 1:
            image = image.resize(scale)
        id = secrets.token_hex(8)
        target = self.folder / f"{id}.webp"
        image.rint().cast("uchar").copy(interpretation="srgb").webpsave(str(target), lossless=True, keep="none")
        self.place.push(target)
        self.known[path, side] = id
        self.sources[id] = {"name": path.name, "sha256": sha256(path.read_bytes()).hexdigest()}
        return id
