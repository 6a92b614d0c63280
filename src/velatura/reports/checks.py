"""Is this result to be believed? Flags that stand in every report and table, never silently dropped."""

from __future__ import annotations

from collections.abc import Mapping

VISIBLE_CAST = 3.0  # ΔE, colour_cast; side by side, about 1 is just visible
NOISE_MARGIN = 0.05  # of decoded shift; less of a lead than this is none


def flags(
    *,
    budget: float,
    lpips: float,
    scale: float,
    cast: float,
    cast_budget: float | None,
    shifts: Mapping[str, float],
    noise: Mapping[str, float],
) -> list[str]:
    """What is wrong or doubtful with one protected picture.

    ``lpips`` and ``cast`` (ΔE, and its bound if it has one) are of the written file; ``scale`` is what δ
    was multiplied by to fit it; ``shifts`` and ``noise`` the decoded shifts, by model, of the cloak and of noise of
    equal LPIPS.
    """
    if budget == 0:
        return ["no cloak: at intensity 0 the file is a copy, to compare with"]
    found = []
    if lpips > budget:
        found.append(f"budget exceeded in the saved file: LPIPS {lpips:.3f} > {budget:g}")
    if lpips < 0.7 * budget:
        found.append(f"budget not used: LPIPS {lpips:.3f} of {budget:g}")
    if scale < 0.5:
        found.append("the cloak was more than halved to keep the budget in the saved file")
    no_better = [name for name in shifts if shifts[name] <= noise[name] + NOISE_MARGIN]
    if no_better:
        found.append(f"no better than random noise of equal visibility on {', '.join(no_better)}")
    if cast > 1.05 * (cast_budget or VISIBLE_CAST):
        bound = "which LPIPS hardly punishes" if cast_budget is None else f"the bound is {cast_budget:g}"
        found.append(f"visible colour cast: ΔE {cast:.1f}, {bound}")
    return found
