"""How strong a cloak may be in the file that holds it."""

from __future__ import annotations

from collections.abc import Callable

TRIES = 12


def fitted_scale(distance: Callable[[float], float], budget: float, largest: float, enough: float) -> float:
    """A scale up to ``largest`` at which ``distance(scale)`` is within ``budget``; 0 if none was found.

    Good enough, and taken, is one that reaches ``enough`` of distance, or ``largest`` itself. Each try is a file
    written and read again.
    """
    low, high, scale = 0.0, largest, 1.0
    for attempt in range(TRIES):
        found = distance(scale)
        if found <= budget:
            low = scale
            if found >= enough or scale >= largest:
                break
        else:
            high = scale
        # LPIPS grows about as the square of δ: aim a little under the budget, and stay within what is known.
        guess = scale * (0.985 * budget / max(found, 1e-6)) ** 0.5
        # Of flat art it may grow slower, and every guess be too large: halve in turn.
        usable = low < guess < high and attempt % 2 == 0
        scale = guess if usable else (low + high) / 2
        if guess >= largest and low < largest and high == largest:
            scale = largest
    return low
