"""The paper's axes as lists of arms, by name."""

from __future__ import annotations

from velatura.errors import InputError
from velatura.evaluation.arms import Arm

_CONTROLS = ("base", "real", "clean")
PLANS: dict[str, tuple[str, tuple[str, ...]]] = {
    "headline": (
        "every cloak and control at the default budget",
        (*_CONTROLS, "noise:0.1", "shuffled:0.1", "photoguard:0.1", "glaze:0.1", "velatura:0.1"),
    ),
    "budgets": (
        "noise and cloak at LPIPS 0.05, 0.1 and 0.2",
        (*_CONTROLS, *(f"{method}:{budget}" for budget in (0.05, 0.1, 0.2) for method in ("noise", "velatura"))),
    ),
    "shares": (
        "the mimic has 25, 50, 75 and 100 % cloaked art",
        (*_CONTROLS, *(f"{m}:0.1@{share}" for share in (0.25, 0.5, 0.75, 1.0) for m in ("noise", "velatura"))),
    ),
    "clean": ("does the mimic work at all?", _CONTROLS),
}


def arms(plan: str) -> list[Arm]:
    """The arms of a plan."""
    if plan not in PLANS:
        raise InputError(f"plan: expected one of {', '.join(PLANS)}, got {plan!r}")
    return [Arm.parse(text) for text in PLANS[plan][1]]
