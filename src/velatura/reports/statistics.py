"""Intervals. Every figure that we print has one, at 95 %."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from velatura.errors import InputError

# Student's t, 97.5 % quantile, by degrees of freedom 1 to 30; beyond, the next smaller entry errs on the wide side.
_T = np.array(
    [
        *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
        *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
        *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
    ]
)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of two values or more and its 95 % t-interval. (A percentile bootstrap of five values covers but 84 %.)"""
    array = np.asarray(values, dtype=float)
    half = float(_T[min(len(array) - 1, len(_T)) - 1] * array.std(ddof=1) / len(array) ** 0.5)
    return float(array.mean()), float(array.mean() - half), float(array.mean() + half)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): unlike ``p ± 1.96 s`` it stays in [0, 1] and is no point at 0 of n."""
    if not 0 <= successes <= n or n < 1:
        raise InputError(f"wilson: expected 0 <= successes <= n and n >= 1, got {successes} of {n}")
    z, share = 1.959964, successes / n
    centre = share + z * z / (2 * n)
    half = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)


def clustered_share(groups: Sequence[tuple[int, int]]) -> tuple[float, float, float]:
    """Share of successes over two groups or more, ``(k, n)`` each, and its 95 % interval.

    Answers of one group (a rater's) are no independent draws, so :func:`wilson` would be too narrow. This is Wilson's
    with the effective number of answers (Kish's design effect, from the spread between groups) in the place of n, and
    Student's t over the groups in that of 1.96 (as Dean & Pagano 2015 recommend). Where all succeed, or none, the
    spread says nothing, and each group counts as one answer.
    """
    if len(groups) < 2 or any(not 0 <= k <= n or n < 1 for k, n in groups):
        raise InputError(f"clustered_share: expected two groups or more with 0 <= k <= n, got {list(groups)[:3]}")
    array = np.asarray(groups, dtype=float)
    count, whole = len(array), float(array[:, 1].sum())
    share = float(array[:, 0].sum()) / whole
    spread = share * (1 - share)
    variance = count / (count - 1) * float(((array[:, 0] - share * array[:, 1]) ** 2).sum()) / whole**2
    effective = whole if variance == 0 else min(whole, spread / variance)
    n = float(count) if spread == 0 else effective
    z = float(_T[min(count - 1, len(_T)) - 1])
    centre = share + z * z / (2 * n)
    half = z * (spread / n + z * z / (4 * n * n)) ** 0.5
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return share, (0.0 if share == 0 else low), (1.0 if share == 1 else high)


def auc(positive: Sequence[float], negative: Sequence[float]) -> tuple[float, float, float]:
    """Area under the ROC curve of scores that should be higher for ``positive``, and its 95 % interval.

    The interval is Newcombe's fifth (2006): all areas A from which the found one lies within 1.96 of Hanley & McNeil's
    standard error *at A*. Like :func:`wilson`, it stays in [0, 1] and is no point where the classes are told apart
    without a mistake, as DeLong's and the bootstrap's are.
    """
    high, low = np.asarray(positive, dtype=float), np.asarray(negative, dtype=float)
    if not len(high) or not len(low):
        raise InputError(f"auc: expected scores of both classes, got {len(high)} and {len(low)}")
    difference = high[:, None] - low[None, :]
    area = float((difference > 0).mean() + 0.5 * (difference == 0).mean())
    grid = np.linspace(0, 1, 20001)
    others = (len(high) + len(low)) / 2 - 1
    spread = 1 + others * (1 - grid) / (2 - grid) + others * grid / (1 + grid)
    error = np.sqrt(grid * (1 - grid) * spread / (len(high) * len(low)))
    inside = grid[np.abs(grid - area) <= 1.959964 * error + 1e-12]
    return area, float(min(inside.min(), area)), float(max(inside.max(), area))
