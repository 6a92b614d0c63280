"""What people's ratings of mimicked pictures say.

As in Glaze (Shan et al. 2023): a rater sees an artist's real works beside mimicked ones and says on five levels how
successful the mimicry is. **PSR**, the protection success rate of an arm, is the share of ratings in the two lowest
levels, "not successful at all" and "not very successful". Ratings come from people; nothing here makes any up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median

import numpy as np

from velatura.reports.result import Row
from velatura.reports.statistics import clustered_share, mean_interval

LEVELS = ("not successful at all", "not very successful", "somewhat successful", "successful", "very successful")
UNSUCCESSFUL = 2  # how many of the lowest levels say that the mimicry failed
FEWEST_RATERS = 10  # as the paper has them
POOR_AGREEMENT = 0.667  # Krippendorff's own bound for tentative conclusions


@dataclass(frozen=True)
class Rating:
    """One answer. ``level``: 1 to 5. ``expected``: of an attention check, the levels that pass; else empty."""

    rater: str
    question: str
    artist: str
    arm: str
    level: int
    seconds: float
    expected: tuple[int, ...] = ()

    @property
    def unsuccessful(self) -> bool:
        return self.level <= UNSUCCESSFUL

    @property
    def failed(self) -> bool:
        """Whether this is an attention check that was not passed."""
        return bool(self.expected) and self.level not in self.expected


@dataclass(frozen=True)
class Rules:
    """When a rater does not count. Kept with the study when it is made, before anyone rates.

    failed_checks: the most attention checks that may be failed. fastest: the least median seconds a question.
    share: the least share of the questions that must be answered.
    """

    failed_checks: int = 1
    fastest: float = 2.0
    share: float = 0.5

    def excludes(self, ratings: Sequence[Rating], asked: int) -> str | None:
        """Why the rater of these answers to ``asked`` questions does not count; None where they do."""
        failed = sum(rating.failed for rating in ratings)
        if failed > self.failed_checks:
            return f"failed {failed} attention checks"
        if len(ratings) < self.share * asked:
            return f"answered {len(ratings)} of {asked} questions"
        if (typical := median(rating.seconds for rating in ratings)) < self.fastest:
            return f"took {typical:.1f} s a question"
        return None


@dataclass(frozen=True)
class Findings:
    """Rows for a result file; Krippendorff's alpha, ordinal (None: not defined); who was left out, and why."""

    rows: list[Row]
    alpha: float | None
    excluded: dict[str, str]
    raters: int
    flags: list[str] = field(default_factory=list)


def evaluate(ratings: Iterable[Rating], asked: Mapping[str, int], rules: Rules = Rules()) -> Findings:
    """PSR by arm, overall and by artist, with what it is worth. ``asked``: questions by rater who has begun."""
    answers: dict[str, list[Rating]] = defaultdict(list)
    for rating in ratings:
        answers[rating.rater].append(rating)
    reasons = {rater: rules.excludes(given, count) for rater, count in asked.items() if (given := answers.get(rater))}
    excluded = {rater: reason for rater, reason in reasons.items() if reason is not None}
    counted = [rater for rater in answers if rater not in excluded]
    kept = [rating for rater in counted for rating in answers[rater] if not rating.expected]
    artists = sorted({rating.artist for rating in kept})
    rows = _rows(kept, None)
    for artist in artists if len(artists) > 1 else ():
        rows += _rows([rating for rating in kept if rating.artist == artist], artist)
    alpha = agreement(kept)
    return Findings(rows, alpha, excluded, len(counted), _flags(rows, alpha, len(counted), len(excluded)))


def agreement(ratings: Collection[Rating]) -> float | None:
    """Krippendorff's alpha for ordinal levels: 1 is agreement, 0 what chance would give. None: not defined.

    Not every rater has to have answered every question.
    """
    import krippendorff

    raters = {name: i for i, name in enumerate(dict.fromkeys(rating.rater for rating in ratings))}
    questions = {name: i for i, name in enumerate(dict.fromkeys(rating.question for rating in ratings))}
    table = np.full((len(raters), len(questions)), np.nan)
    for rating in ratings:
        table[raters[rating.rater], questions[rating.question]] = rating.level
    pairable = table[:, (~np.isnan(table)).sum(axis=0) > 1] if table.size else table
    if len(np.unique(pairable[~np.isnan(pairable)])) < 2:
        return None
    domain = range(1, len(LEVELS) + 1)
    return float(krippendorff.alpha(table, level_of_measurement="ordinal", value_domain=list(domain)))


def _rows(ratings: Sequence[Rating], artist: str | None) -> list[Row]:
    rows = []
    arms = list(dict.fromkeys(rating.arm for rating in ratings))
    for arm in sorted(arms):
        own = [rating for rating in ratings if rating.arm == arm]
        share, low, high = _interval(own)
        rows.append(Row("psr", share, len(own), low, high, arm=arm))
        level = mean(rating.level for rating in own)
        rows.append(Row("mean_level", level, len(own), arm=arm))
        for control in ("clean", "noise"):
            rows += [
                row for other in arms if _is(other, control) and other != arm for row in _gain(ratings, arm, other)
            ]
    return [row if row.artist == artist else Row(**row.__dict__ | {"artist": artist}) for row in rows]


def _is(arm: str, control: str) -> bool:
    return arm == control or arm.startswith((f"{control} at ", f"{control}:"))


def _interval(ratings: Sequence[Rating]) -> tuple[float, float | None, float | None]:
    """Over raters and over questions: neither are independent within; the wider interval of the two."""
    share = mean(rating.unsuccessful for rating in ratings)
    found = []
    keys: tuple[Callable[[Rating], str], ...] = (lambda r: r.rater, lambda r: r.question)
    for key in keys:
        groups: dict[str, list[Rating]] = defaultdict(list)
        for rating in ratings:
            groups[key(rating)].append(rating)
        counts = [(sum(r.unsuccessful for r in group), len(group)) for group in groups.values()]
        if len(counts) < 2:
            return share, None, None
        found.append(clustered_share(counts)[1:])
    low, high = max(found, key=lambda interval: interval[1] - interval[0])
    return share, low, high


def _gain(ratings: Sequence[Rating], arm: str, control: str) -> list[Row]:
    """PSR less that of the control, rater by rater."""
    by: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for rating in ratings:
        by[rating.rater][rating.arm].append(rating.unsuccessful)
    gains = [mean(own[arm]) - mean(own[control]) for own in by.values() if own[arm] and own[control]]
    if len(gains) < 2:
        return []
    value, low, high = mean_interval(gains)
    return [Row(f"psr_gain_over_{control.replace(' ', '_')}", value, len(gains), low, high, arm=arm)]


def _flags(rows: Sequence[Row], alpha: float | None, raters: int, excluded: int) -> list[str]:
    flags = []
    if raters < FEWEST_RATERS:
        flags.append(f"{raters} raters count: expected {FEWEST_RATERS} or more")
    if excluded > raters:
        flags.append(f"more raters were left out ({excluded}) than count")
    if alpha is not None and alpha < POOR_AGREEMENT:
        flags.append(f"the raters agree little: Krippendorff's alpha is {alpha:.2f}, below {POOR_AGREEMENT}")
    clean = [row for row in rows if row.metric == "psr" and row.arm == "clean" and row.artist is None]
    if rows and not clean:
        flags.append("no clean arm: nothing says that these raters find any of this mimic's work successful")
    if clean and clean[0].value > 0.5:
        flags.append("the mimic is too weak: most find it unsuccessful on unprotected art already")
    if rows and not any(row.arm is not None and _is(row.arm, "noise") for row in rows):
        flags.append("no noise arm: what a cloak is worth beyond its visibility cannot be told")
    return flags
