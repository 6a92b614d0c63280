"""What was done and what came out, in words that need no training; praise only where nothing forbids it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from velatura.reports.checks import Doubt, doubts
from velatura.reports.result import Result
from velatura.reports.tables import Cell, Figure, cells

MINIATURE = (
    "The mimic was the miniature, a scale model of Stable Diffusion: this compares ways to protect, and does not show "
    "what a full-size model would do."
)
VIEW = (
    "Where mimics were trained, no other fast figure foresaw their pictures as well; only a mimic shows them "
    "(the plan quick)."
)
OWN = "velatura"  # the method of that name
FRICTION = "Friction, not a guarantee: a mimic with time and skill can undo part of any protection."


@dataclass(frozen=True)
class Summary:
    """``done`` and ``found``: sentences. ``flags``: what forbids praise. ``believed``: whether nothing does."""

    done: str
    found: tuple[str, ...]
    flags: tuple[str, ...]

    @property
    def believed(self) -> bool:
        return not self.flags

    @property
    def paragraph(self) -> str:
        return " ".join((self.done, *self.found))


def doubts_of(result: Result) -> list[Doubt]:
    """All that speaks against a result: what its rows say, artist by artist, and what it was flagged with when made."""
    artists = list(dict.fromkeys(row.artist for row in result.rows))
    seen = result.settings.get("optimised_through")
    through = seen if isinstance(seen, dict) else None
    found = []
    for artist in artists:
        found += doubts([row for row in result.rows if row.artist == artist], through)
    said = {text for d in found for text in (d.text, d.formerly)}
    return [*dict.fromkeys(found), *(Doubt(str(flag)) for flag in result.flags if flag not in said)]


def summarise(result: Result, *, yours: bool = False) -> Summary:
    """``yours``: speak to the artist whose pictures they are."""
    found = cells(result.rows)
    against = doubts_of(result)
    flags = tuple(d.text for d in against)
    mimicked = [c for c in found if "style_shift_top3" in c.figures and c.arm not in ("real", None)]
    if not mimicked:
        seen = [
            part
            for cell in found
            if cell.arm == "cloaked" and cell.recipe is None
            for part in _seen(cell, found, against, yours)
        ]
        if seen:
            return Summary("No mimic was trained.", (*seen, VIEW, FRICTION), flags)
        return Summary(f"{result.experiment}: figures of {_artists(found)}; no mimic was trained.", (), flags)
    parts = [part for cell in _recipes(mimicked) for part in _outcome(cell, mimicked, against, yours)]
    if general := [d for d in against if d.cloak is None]:
        cloaked = [c for c in mimicked if c.arm == "cloaked"]
        whole = all(any(_concerns(d, c) for d in general) for c in cloaked)
        what = "These figures prove nothing" if whole else "Some of these figures prove nothing"
        parts.insert(0, f"{what} about protection: {'; '.join(d.text for d in general)}.")
    if result.settings.get("model") == "mini":
        parts.append(MINIATURE)
    return Summary(_done(result.settings, mimicked, yours), (*parts, FRICTION), flags)


def _done(settings: Any, mimicked: Sequence[Cell], yours: bool) -> str:
    trained = settings.get("training")
    count = len(trained) if isinstance(trained, list) else None
    many = f"{count} pictures" if count else "pictures"
    whose = f"your {many}" if yours else f"{many} of {_artists(mimicked)}"
    altered = {(c.arm, c.cloak, c.budget) for c in mimicked if c.arm not in ("base", "clean")}
    made = max(c.figures["style_shift_top3"].n for c in mimicked)
    seeds = max(len(c.figures["style_shift_top3"].seeds) for c in mimicked)
    sets = ", untouched"
    if altered:
        sets += f" and altered in {_number(len(altered))} {'way' if len(altered) == 1 else 'ways'}"
    mimics = "a mimic was trained" if not altered else "a mimic each was trained"
    if seeds > 1:
        mimics = f"{_number(seeds)} mimics each were trained" if altered else f"{_number(seeds)} mimics were trained"
    return (
        f"On {whose}{sets}, {mimics} and asked for new pictures in that style. A judge that learned the style from "
        f"other pictures said of each of the {made} pictures of a set whether it is in that style."
    )


def _recipes(mimicked: Sequence[Cell]) -> list[Cell]:
    """One cell, to begin from, for every artist, recipe and countermeasure."""
    heads: dict[tuple[object, ...], Cell] = {}
    for cell in mimicked:
        heads.setdefault((cell.artist, cell.recipe), cell)
    return list(heads.values())


def _outcome(head: Cell, mimicked: Sequence[Cell], against: Sequence[Doubt], yours: bool) -> list[str]:
    same = [c for c in mimicked if (c.artist, c.recipe) == (head.artist, head.recipe)]
    several = len({(c.artist, c.recipe) for c in mimicked}) > 1
    prefix = f"{head.artist}, {head.recipe}: " if several else ""
    parts = []
    clean = next((c for c in same if c.arm == "clean"), None)
    if clean is not None:
        hits = _hits(clean.figures["style_shift_top3"])
        pictures = "your unprotected pictures" if yours else "unprotected pictures"
        parts.append(f"{prefix}trained on {pictures}, the mimic was in the style in {hits} of its pictures.")
    for cell in _told(same):
        noise = next((c for c in same if c.arm == "noise" and _pair(c) == _pair(cell)), None)
        beside = f"; on noise of equal visibility in {_hits(noise.figures['style_shift_top3'])}" if noise else ""
        hits = _hits(cell.figures["style_shift_top3"])
        sentence = f"{prefix}trained on pictures cloaked with {cell.label}, it was in {hits}{beside}."
        parts.append(sentence + " " + _judgement(cell, against))
    return [part[0].upper() + part[1:] for part in parts]


def _seen(cell: Cell, found: Sequence[Cell], against: Sequence[Doubt], yours: bool) -> list[str]:
    """Of cloaked pictures without a mimic: in how many does its model still see the style?"""
    shift = cell.figures.get("view_shift_top3")
    if shift is None:
        return []
    others = {c.arm: c for c in found if c.artist == cell.artist and (c.arm == "real" or _pair(c) == _pair(cell))}
    beside = [
        f"{words} in {_hits(others[arm].figures[metric])}"
        for arm, metric, words in (
            ("noise", "view_shift_top3", "with noise of equal visibility"),
            ("real", "style_shift_top3", "untouched"),
        )
        if arm in others and metric in others[arm].figures
    ]
    whose = f"{'your' if yours else 'the'} {shift.n} pictures cloaked with {cell.label}"
    sentence = f"In {whose} a judge, as the model sees them, still finds the style in {_hits(shift)}"
    own = [d for d in against if _concerns(d, cell)]
    verdict = f" Not to be praised: {'; '.join(d.text for d in own)}." if own else ""
    return ["; ".join((sentence, *beside)) + "." + verdict]


def _told(same: Sequence[Cell]) -> list[Cell]:
    """The cloaks that a paragraph can hold: all of three, else this package's own (never: the best ones)."""
    cloaked = [c for c in same if c.arm == "cloaked"]
    own = [c for c in cloaked if c.name.startswith(OWN)]
    return own if len(cloaked) > 3 and own else cloaked


def _judgement(cell: Cell, against: Sequence[Doubt]) -> str:
    against = [d for d in against if _concerns(d, cell)]
    if own := [d for d in against if d.cloak is not None]:
        reasons = "; ".join(d.text.partition(": ")[2] or d.text for d in own)
        return f"Not to be praised: {reasons}."
    if against:
        return "No evidence of protection."
    gain = cell.figures.get("gain_over_noise_top3")
    if gain is None or gain.low is None:
        return "Not compared with noise, so no evidence of protection."
    shift = cell.figures["style_shift_top3"]
    points = " to ".join(f"{100 * v:.0f}" for v in (gain.low, gain.high if gain.high is not None else gain.value))
    better = f"The mimic misses the style in {100 * gain.value:.0f} more of 100 pictures than on noise ({points})"
    if shift.value >= 0.5:
        return f"{better}, and most of its pictures are in another style."
    return f"{better}; still most of its pictures are in the style."


def _concerns(doubt: Doubt, cell: Cell) -> bool:
    return doubt.concerns(cell.cloak, cell.budget, cell.recipe, cell.countermeasure)


def _pair(cell: Cell) -> tuple[float | None, str, str | None]:
    """What a cloak and its noise have in common: the budget, the share of altered pictures, the countermeasure."""
    return cell.budget, (cell.cloak or "").partition("@")[2], cell.countermeasure


def _hits(shift: Figure) -> str:
    if shift.low is None or shift.high is None:
        return f"{1 - shift.value:.0%}"
    return f"{1 - shift.value:.0%} ({1 - shift.high:.0%} to {1 - shift.low:.0%})"


def _artists(found: Sequence[Cell]) -> str:
    return ", ".join(dict.fromkeys(c.artist for c in found if c.artist)) or "several artists"


def _number(count: int) -> str:
    return ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")[count] if count < 9 else str(count)
