"""Intervals. Every figure that we print has one, at 95 %."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bootstrap_mean(values: Sequence[float], *, seed: int = 0, draws: int = 10_000) -> tuple[float, float, float]:
    """Mean and its 95 % percentile bootstrap interval, resampling the values (pictures); few values, wide interval."""
    array = np.asarray(values, dtype=float)
    samples = np.random.default_rng(seed).choice(array, (draws, len(array))).mean(1)
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(array.mean()), float(low), float(high)
