"""PhotoGuard's "encoder attack" (Salman et al., ICML 2023, eq. 4): projected gradient descent within an L∞ ball."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from velatura.cloaks.cloak import Cloak, OnStep, goals, latent
from velatura.cloaks.linf import LinfSettings, linf_cloak, towards
from velatura.diffusion.extractors import Extractor


@dataclass(frozen=True)
class PhotoGuardSettings(LinfSettings):
    """budget: LPIPS to reach. steps: of PGD at each radius. rounds: of bisection over the radius.

    The paper fixes the radius (its 0.06 on [-1, 1] is 7.7/255 here) and takes 200 steps.
    """

    steps: int = 200
    seed: int = 0


def photoguard(
    pictures: Tensor,
    targets: Tensor,
    *,
    extractors: Sequence[Extractor],
    settings: PhotoGuardSettings,
    on_step: OnStep | None = None,
) -> Cloak:
    """min over ‖δ‖∞ ≤ r of ‖Φ(t) − Φ(x+δ)‖², r the largest radius that keeps LPIPS ≤ p after 8-bit rounding.

    The paper's target is a grey picture or a chosen one; here it is Ω(x,T), as for every method.
    """
    gradient = towards(latent(goals(extractors, pictures, targets)))

    # The authors' code starts at a random place in the ball and shrinks the step from r/3 to r/300.
    return linf_cloak("photoguard", pictures, gradient, settings, (1 / 3, 1 / 300), on_step, settings.seed)
