"""Is this result to be believed? Flags that stand in every report and table, never silently dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from velatura.reports.result import Row, method

# The bars of the mimicry experiment: below them an attack is too weak to judge a cloak by.
CLEAN_TOP1, CLEAN_TOP3, BASE_TOP1 = 0.70, 0.85, 0.15
SEED_SPREAD = 0.2  # of style shift; twice what chance alone makes of three seeds of 96 pictures each


@dataclass(frozen=True)
class Doubt:
    """What stands in the way of praise: in words, and of which cloak, budget, recipe and countermeasure.

    None: of all of them; the countermeasure "": of what none was taken against.
    """

    text: str
    cloak: str | None = None
    budget: float | None = None
    recipe: str | None = None
    countermeasure: str | None = None

    def concerns(self, cloak: str | None, budget: float | None, recipe: str | None, countermeasure: str | None) -> bool:
        """Whether it stands in the way of praise for these figures."""
        own = (self.cloak, self.budget, self.recipe, self.countermeasure)
        theirs = (cloak, budget, recipe, countermeasure or "")
        return all(mine in (None, other) for mine, other in zip(own, theirs, strict=True))

    @property
    def formerly(self) -> str:
        """In the words of results made before doubts named a countermeasure, and of seeds the recipe."""
        head, mark, rest = self.text.partition(": ")
        if self.countermeasure and not head.startswith("after "):
            head = head.replace(f" after {self.countermeasure}", "", 1)
        if rest.startswith("seeds disagree"):
            head = head.removesuffix(f", {self.recipe}")
        return head + mark + rest


def doubts(rows: Sequence[Row], seen: Mapping[str, Sequence[str]] | None = None) -> list[Doubt]:
    """What forbids to praise a cloak for these rows of one artist (flags).

    ``seen``: by cloak, the countermeasures that it was optimised through.
    """
    found = [*_mimic(rows), *_budget(rows), *_noise(rows), *_seeds(rows), *_view(rows), *_seen(rows, seen or {})]
    return list(dict.fromkeys(found))


def named(row: Row) -> str:
    """A row's arm in words: ``velatura at 0.1 after jpeg``."""
    after = f" after {row.countermeasure}" if row.countermeasure else ""
    return f"{_plain(row)}{after}"


def _plain(row: Row) -> str:
    """The same without the countermeasure."""
    budget = "" if row.budget is None else f" at {row.budget:g}"
    return f"{row.cloak or row.arm}{budget}"


def _mimic(rows: Sequence[Row]) -> Iterator[Doubt]:
    """Does the attack work where nothing is protected, and only thanks to fine-tuning?"""
    about = [(r.recipe, r.countermeasure) for r in rows if r.metric == "style_shift_top3" or r.arm in ("base", "clean")]
    heads = [head for head in dict.fromkeys(about) if head != (None, None) or len(set(about)) == 1]
    for recipe, countermeasure in heads:
        about_head: dict[str, Any] = {"recipe": recipe, "countermeasure": countermeasure or ""}
        words = [recipe if len({r for r, _ in heads}) > 1 else None, countermeasure and f"after {countermeasure}"]
        prefix = "".join(f"{word}: " for word in words if word)
        top1, top3 = (_share(rows, "clean", f"style_top{n}", recipe, countermeasure) for n in (1, 3))
        base = _share(rows, "base", "style_top1", recipe, countermeasure)
        if (top1 is not None and top1 < CLEAN_TOP1) or (top3 is not None and top3 < CLEAN_TOP3):
            real = [_share(rows, "real", f"style_top{n}", None, None) for n in (1, 3)]
            also = "" if real[1] is None else f"; of the artist's own pictures: {_tops(*real)}"
            yield Doubt(
                f"{prefix}the mimic is too weak on clean art to judge a cloak by "
                f"({_tops(top1, top3)}; bars: {CLEAN_TOP1:.0%} top 1, {CLEAN_TOP3:.0%} top 3{also})",
                **about_head,
            )
        if base is not None and base > BASE_TOP1:
            yield Doubt(
                f"{prefix}the base model paints in this style already ({base:.0%} top 1; bar: {BASE_TOP1:.0%}): "
                "a cloak cannot take that away",
                **about_head,
            )
        mimicked = ("cloaked", "style_shift_top3", recipe, countermeasure)
        if top3 is None and any((r.arm, r.metric, r.recipe, r.countermeasure) == mimicked for r in rows):
            yield Doubt(f"{prefix}no clean arm: nothing says that the mimic works at all", **about_head)


def _tops(top1: float | None, top3: float | None) -> str:
    return " and ".join(f"{v:.0%} {k}" for v, k in ((top1, "top 1"), (top3, "top 3")) if v is not None)


def _share(rows: Sequence[Row], arm: str, metric: str, recipe: str | None, countermeasure: str | None) -> float | None:
    """Mean over seeds; of untreated pictures where the countermeasure was not tried on this arm."""
    same = [r for r in rows if (r.arm, r.metric, r.recipe) == (arm, metric, recipe)]
    values = [r.value for r in same if r.countermeasure == countermeasure]
    values = values or [r.value for r in same if r.countermeasure is None]
    return sum(values) / len(values) if values else None


def _budget(rows: Sequence[Row]) -> Iterator[Doubt]:
    for row in rows:
        if row.metric == "lpips_max" and row.budget is not None and row.value > row.budget:
            text = f"{named(row)}: budget exceeded in a saved file, LPIPS {row.value:.3f}"
            yield Doubt(text, row.cloak or row.arm, row.budget)


def _noise(rows: Sequence[Row]) -> Iterator[Doubt]:
    """Is the cloak better than noise of equal visibility, and was that asked at all?"""
    compared = {(r.cloak, r.budget, r.recipe, r.countermeasure) for r in rows if r.metric == "gain_over_noise_top3"}
    recipes = {r.recipe for r in rows if r.arm == "cloaked" and r.metric == "style_shift_top3"}
    for row in rows:
        suffix = f", {row.recipe}" if len(recipes) > 1 else ""
        if row.metric == "gain_over_noise_top3" and row.low is not None and row.low <= 0:
            yield Doubt(f"{named(row)}{suffix}: no better than noise of equal LPIPS (top 3)", *_of(row))
        key = (row.cloak, row.budget, row.recipe, row.countermeasure)
        if row.arm == "cloaked" and row.metric == "style_shift_top3" and key not in compared:
            yield Doubt(f"{named(row)}{suffix}: stands without noise of equal LPIPS beside it", *_of(row))


def _view(rows: Sequence[Row]) -> Iterator[Doubt]:
    """Where no mimic was trained: does the model see another style in cloaked pictures than in noised ones?"""
    if any(r.metric == "style_shift_top3" and r.arm != "real" for r in rows):
        return
    seen = {(r.arm, r.cloak, r.budget): r for r in rows if r.metric == "view_shift_top3" and r.countermeasure is None}
    real = _share(rows, "real", "style_top3", None, None)
    if seen and real is not None and real < CLEAN_TOP3:
        yield Doubt(
            f"the judge does not know the artist well enough ({real:.0%} top 3 of untouched pictures; "
            f"bar: {CLEAN_TOP3:.0%}): more pictures would teach it"
        )
    for (arm, cloak, budget), row in seen.items():
        noise = seen.get(("noise", None, budget))
        if arm == "cloaked" and noise is not None and (row.low or 0.0) <= (noise.high or 0.0):
            yield Doubt(f"{named(row)}: not shown to be better than noise in the model's view", cloak, budget)


def _seeds(rows: Sequence[Row]) -> Iterator[Doubt]:
    cells: dict[tuple[str | None, ...], list[Row]] = {}
    for row in rows:
        if row.metric == "style_shift_top3" and row.seed is not None:
            key = (row.artist, row.arm, row.cloak, str(row.budget), row.recipe, row.countermeasure)
            cells.setdefault(key, []).append(row)
    recipes = {same[0].recipe for same in cells.values()}
    for same in cells.values():
        spread = max(r.value for r in same) - min(r.value for r in same)
        suffix = f", {same[0].recipe}" if len(recipes) > 1 else ""
        if spread > SEED_SPREAD:
            # Controls that disagree leave nothing to compare with.
            cloak, budget, recipe, countermeasure = _of(same[0])
            found = Doubt(
                f"{named(same[0])}{suffix}: seeds disagree by {spread:.0%} (style shift, top 3)",
                recipe=recipe,
                countermeasure=countermeasure,
            )
            yield replace(found, cloak=cloak, budget=budget) if same[0].arm == "cloaked" else found


def _seen(rows: Sequence[Row], seen: Mapping[str, Sequence[str]]) -> Iterator[Doubt]:
    for row in rows:
        done = {part.split()[0] for part in (row.countermeasure or "").split(", ") if part}
        if done & set(seen.get(method(row.cloak), ())):
            text = f"{_plain(row)}: {row.countermeasure} was seen while the cloak was optimised; others may undo it"
            yield Doubt(text, row.cloak, row.budget, countermeasure=row.countermeasure)


def _of(row: Row) -> tuple[str | None, float | None, str | None, str]:
    return row.cloak, row.budget, row.recipe, row.countermeasure or ""


def flags(*, budget: float, lpips: float, scale: float, flip: float, flip_budget: float | None) -> list[str]:
    """What is wrong or doubtful with one protected picture.

    ``lpips`` (whole or enlarged, the larger) and ``flip`` (mean ꟻLIP, and its bound if it has one) are of the written
    file; ``scale`` is what δ was multiplied by to fit it.
    """
    found = []
    if lpips > budget:
        found.append(f"budget exceeded in the saved file: LPIPS {lpips:.3f} > {budget:g}")
    if flip_budget is not None and flip > 1.01 * flip_budget:
        found.append(f"more visible than asked for in the saved file: ꟻLIP {flip:.3f} > {flip_budget:.3f}")
    if lpips < 0.7 * budget and (flip_budget is None or flip < 0.7 * flip_budget):
        found.append("less of the change is used than the intensity allows")
    if scale < 0.5:
        found.append("the cloak was more than halved to keep the budget in the saved file")
    return found
