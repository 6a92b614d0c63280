"""Do the fast figures (seconds a picture) predict the slow ones (a mimic trained)? Over many runs, in ranks.

A verdict on one picture can only rest on fast figures, so this says what a verdict is worth.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from velatura.reports.tables import FAST as TABLED
from velatura.reports.tables import Cell

FAST = ("latent_remaining", "decoded_shift", "style_move", "view_change", "view_shift_top1", "view_shift_top3")
SLOW = ("style_shift_top1", "style_shift_top3")
NONE = "none"  # the row of a table of countermeasures without one
FEWEST = 5
RESAMPLES = 2000


@dataclass(frozen=True)
class Point:
    """One arm of one run: a fast figure, a slow one, and which they are of."""

    fast: float
    slow: float
    run: str
    label: str
    arm: str
    artist: str
    recipe: str


@dataclass(frozen=True)
class Prediction:
    """Spearman's ρ of ``fast`` and ``slow`` with a 95 % bootstrap interval; ``runs``: how many the points are from."""

    fast: str
    slow: str
    rho: float
    low: float
    high: float
    points: tuple[Point, ...]
    runs: int


def predictions(runs: Sequence[tuple[str, Sequence[Cell]]], *, seed: int = 0) -> list[Prediction]:
    """Every fast figure against every slow one, where there are five arms or more.

    Each arm that altered pictures is one point (noise and shuffled too: that they move nothing is to be predicted as
    well), unless its mimic had only a share of them: fast figures are of all protected pictures. What a run does not
    say of a treated arm is taken from a table of countermeasures of the same artist, cloak and budget, if there is one
    among the runs. Runs of one artist share the pictures, and arms of one run a mimic's luck: whole artists are drawn
    again where there are five or more, else whole runs, else single arms; in the last two cases the interval says
    nothing of other artists and is too narrow.
    """
    found = []
    tabled = {_key(c): c.figures for _, members in runs for c in members if (c.recipe or "").startswith(TABLED)}
    told = [(name, c) for name, members in runs for c in members if c.arm != "real" and "@" not in (c.cloak or "")]
    for fast in FAST:
        for slow in SLOW:
            found_points = []
            for name, c in told:
                figures = {**tabled.get(_key(c), {}), **c.figures}
                if fast in figures and slow in c.figures:
                    about = (name, c.label, c.arm or "", _artist(c) or name, c.recipe or "")
                    found_points.append(Point(figures[fast].value, c.figures[slow].value, *about))
            # Plans that share an arm say the same of it twice.
            once = {(p.fast, p.slow, p.label, p.artist, p.recipe): p for p in reversed(found_points)}
            points = tuple(once.values())[::-1]
            if len(points) >= FEWEST and len({p.fast for p in points}) > 1 and len({p.slow for p in points}) > 1:
                found.append(Prediction(fast, slow, *_bootstrapped(points, seed), points, len({p.run for p in points})))
    return found


def _key(cell: Cell) -> tuple[object, ...]:
    """Artist, arm, budget and the countermeasure's name."""
    return _artist(cell), cell.arm, cell.cloak, cell.budget, (cell.countermeasure or NONE).split()[0]


def _artist(cell: Cell) -> str:
    return re.sub(r"[-_\s]+", " ", cell.artist or "").lower()


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation, ties at their mean rank; NaN where one of the two does not vary."""
    a, b = _ranks(a), _ranks(b)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else float("nan")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[where]
    return ranks


def _bootstrapped(points: Sequence[Point], seed: int) -> tuple[float, float, float]:
    draw = np.random.default_rng(seed)
    fast, slow = np.array([p.fast for p in points]), np.array([p.slow for p in points])
    places = np.arange(len(points))
    clusters: list[NDArray[np.intp]] = list(places[:, None])
    for names in ([p.artist for p in points], [p.run for p in points]):
        if len(set(names)) >= FEWEST:
            clusters = [places[np.array(names) == name] for name in dict.fromkeys(names)]
            break
    values = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([clusters[i] for i in draw.integers(len(clusters), size=len(clusters))])
        values.append(spearman(fast[chosen], slow[chosen]))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return spearman(fast, slow), float(low), float(high)


def markdown(found: Sequence[Prediction]) -> str:
    """A table, one line a pair."""
    lines = ["| fast figure | slow figure | Spearman's ρ | arms | runs |", "|---|---|---|---|---|"]
    lines += [
        f"| {p.fast} | {p.slow} | {p.rho:.2f} ({p.low:.2f} to {p.high:.2f}) | {len(p.points)} | {p.runs} |"
        for p in found
    ]
    return "\n".join(lines)
