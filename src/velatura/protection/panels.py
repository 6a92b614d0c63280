"""A protected picture, and the pictures that can be left beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from velatura.protection.views import View
from velatura.reports.sheet import amplified, sheet
from velatura.reports.verdict import Verdict

GAIN = 8.0


@dataclass(frozen=True)
class Protected:
    """The file's bytes, its report (JSON-ready), and pictures ``(1, 3, H, W)`` of what was worked on.

    ``target`` and ``view`` are None where nothing was cloaked: at intensity 0, or where there is nothing to protect.
    """

    data: bytes
    report: dict[str, Any]
    verdict: Verdict
    original: Tensor
    saved: Tensor
    target: Tensor | None
    view: View | None

    def sheet(self) -> bytes:
        """PNG: original, protected, difference, target; what the model sees before and after."""
        panels = [("original", pixels(self.original)), ("as saved", pixels(self.saved))]
        if self.target is not None and self.view is not None:
            seen_by = self.report["view"]
            difference = (self.saved - self.original)[0].permute(1, 2, 0).cpu().numpy()
            panels[1] = ("protected", pixels(self.saved))
            panels += [
                (f"difference, {GAIN:.0f} times amplified", amplified(difference, GAIN)),
                (f"painted target: {self.report['style']['artist']}", pixels(self.target)),
                (f"what {seen_by} sees: original", pixels(self.view.before)),
                (f"what {seen_by} sees: protected", pixels(self.view.after)),
            ]
        lines = [self.verdict.sentence]
        if self.verdict.advice:
            lines.append(self.verdict.advice)
        if self.target is not None:
            lines.append("A cloak makes mimicry harder. It does not make it impossible.")
        if self.report["unknown"]:
            lines.append(self.report["unknown"])
        return sheet(panels, title=str(self.report["source"]["name"]), lines=lines)


def png(picture: Tensor) -> bytes:
    """PNG of one picture ``(1, 3, H, W)`` in [0, 1]."""
    out = io.BytesIO()
    Image.fromarray(pixels(picture)).save(out, "PNG")
    return out.getvalue()


def pixels(picture: Tensor) -> Any:
    """8 bit pixels ``(H, W, 3)`` of one picture ``(1, 3, H, W)`` in [0, 1]."""
    return (picture[0].detach().clamp(0, 1).permute(1, 2, 0) * 255).round().byte().cpu().numpy()


def _amplified(done: Protected) -> Tensor:
    return (0.5 + GAIN * (done.saved - done.original)).clamp(0, 1)


# What can be left beside a result, by the end of its name; all but the sheet are at the working resolution. Of a file
# without a cloak there is nothing to see in some: its own picture stands for them.
PANELS: Mapping[str, Callable[[Protected], bytes]] = {
    "sheet.png": lambda done: done.sheet(),
    "target.png": lambda done: png(done.original if done.target is None else done.target),
    "before.png": lambda done: png(done.original),
    "after.png": lambda done: png(done.saved),
    "difference.png": lambda done: png(_amplified(done)),
    "seen-before.png": lambda done: png(done.original if done.view is None else done.view.before),
    "seen-after.png": lambda done: png(done.original if done.view is None else done.view.after),
}
