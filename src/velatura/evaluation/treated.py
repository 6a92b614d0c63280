"""Figures of treated pictures, without fine-tuning: what the mimic's model sees, and what is left of the art."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from velatura.countermeasures.treatment import Treatment
from velatura.diffusion.extractors import Extractor
from velatura.evaluation.arms import Arm
from velatura.evaluation.references import Eye, References, applied
from velatura.perception import lpips as distances
from velatura.perception.pixels import psnr
from velatura.reports.result import Row
from velatura.reports.statistics import mean_interval, wilson

if TYPE_CHECKING:
    from velatura.evaluation.robustness import Robustness

NONE = "none"  # the row of pictures as they were saved


def about_of(plan: Robustness, arm: Arm, countermeasure: str) -> dict[str, Any]:
    """What a row is of."""
    recipe = "fast"
    if countermeasure != NONE:
        recipe = "fast, seen" if countermeasure in plan.seen else "fast, held out"
    return {
        "artist": plan.artist,
        "arm": arm.kind,
        "cloak": arm.method if arm.kind == "cloaked" else None,
        "budget": arm.budget,
        "countermeasure": countermeasure,
        "recipe": recipe,
        "seed": plan.seed,
    }


class Measure:
    """Figures of treated pictures, beside the clean originals and the painted targets as the model sees them.

    ``judge``: a style judge or None; ``known``: as whom it knows the artist.
    """

    def __init__(
        self,
        plan: Robustness,
        seen: Extractor,
        originals: Sequence[Tensor],
        targets: Sequence[Tensor],
        judge: Any,
        known: str,
    ) -> None:
        self.plan, self.seen, self.judge, self.known = plan, seen, judge, known
        self.eye = Eye(seen, plan.device)
        self.references = References(originals, targets, self.eye)

    def __call__(
        self, arm: Arm, treatment: Treatment | None, pictures: Sequence[Tensor]
    ) -> tuple[list[Row], list[float]]:
        """Rows of ``pictures`` after the treatment, and the decoded shift of each."""
        countermeasure = NONE if treatment is None else treatment.name
        changed = list(pictures) if treatment is None else applied(treatment, pictures, self.plan.device)
        place = self.references.after(treatment)
        about = about_of(self.plan, arm, countermeasure)
        away = [self.eye.distance(x, goal) for x, goal in zip(changed, place.goals, strict=True)]
        shifts = [1 - now / max(start, 1e-6) for now, start in zip(away, place.start, strict=True)]
        figures = {"decoded_shift": shifts}
        pairs = list(zip(place.originals, changed, strict=True))
        figures["lpips_to_clean"] = [float(distances.lpips(x, y)) for x, y in pairs]
        # Equal pictures are infinitely near: 8 bits cannot tell more than about 59 dB.
        figures["psnr_to_clean"] = [min(60.0, float(psnr(x, y))) for x, y in pairs]
        rows = []
        for metric, values in figures.items():
            mean, low, high = mean_interval(values)
            rows.append(Row(metric, mean, len(values), low, high, **about))
        return rows + self._judged(changed, about), shifts

    def _judged(self, changed: Sequence[Tensor], about: Mapping[str, Any]) -> list[Row]:
        if self.judge is None:
            return []
        # The judge looks through the miniature's autoencoder by itself.
        own = self.seen.name == "mini"
        with torch.no_grad():
            shown = [x if own else self.seen.view(x.to(self.plan.device)).cpu() for x in changed]
        ranks = self.judge.ranks(shown, self.known)
        rows = []
        for top in (1, 3):
            count = int((ranks > top).sum())
            low, high = wilson(count, len(ranks))
            rows.append(Row(f"view_shift_top{top}", count / len(ranks), len(ranks), low, high, **about))
        return rows
