"""The recipe of the early Glaze application, as it was observed from outside: signed gradients in an L∞ ball, no LPIPS.

The paper describes another one (:mod:`velatura.cloaks.glaze`): the same distance, but Adam and an LPIPS penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from velatura.cloaks.cloak import Cloak, OnStep, goals, latent
from velatura.cloaks.linf import LinfSettings, linf_cloak, towards
from velatura.diffusion.extractors import Extractor


@dataclass(frozen=True)
class ApplicationSettings(LinfSettings):
    """budget: LPIPS to reach. steps: of signed gradients at each radius; 25 to 50 were seen. rounds: of bisection.

    The application fixes the radius: 3.2 to 12.75/255 of the [0, 1] picture, by default 4.8/255.
    """

    steps: int = 40


def application(
    pictures: Tensor,
    targets: Tensor,
    *,
    extractors: Sequence[Extractor],
    settings: ApplicationSettings,
    on_step: OnStep | None = None,
) -> Cloak:
    """min over ‖δ‖∞ ≤ r of ‖Φ(Ω(x,T)) − Φ(x+δ)‖² by steps of one size, r as large as LPIPS ≤ p allows.

    The size of its steps was not seen; here they are Madry's (ICLR 2018) 2.5 r / steps. Its squares of 512 px are the
    caller's (``cloaks.windows``), its check of the decoded picture is ``protect``'s.
    """
    gradient = towards(latent(goals(extractors, pictures, targets)))
    size = 2.5 / settings.steps

    return linf_cloak("application", pictures, gradient, settings, (size, size), on_step)
