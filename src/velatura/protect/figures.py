"""What was done to a picture, measured on the file as written, not on the tensor that was optimised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyvips
import torch
from torch import Tensor

from velatura.cloaks import NoiseSettings, noise
from velatura.cloaks.cloak import Goal
from velatura.cloaks.descent import PART
from velatura.cloaks.windows import LONGEST, spans
from velatura.diffusion.extractors import Extractor
from velatura.images import Artwork, crops, working
from velatura.images.resample import at_size, tensor
from velatura.perception import color_difference, lpips, pixels, texture
from velatura.perception.style import style, style_change
from velatura.protect.settings import CLOSEST

CROP = PART
MOST_CROPS = 4


def busiest_boxes(width: int, height: int, delta: Tensor) -> list[tuple[int, int]]:
    """Left and top of up to four squares of a picture where the cloak is strongest; none if it is not larger than δ."""
    if min(width, height) <= min(delta.shape[-2:]):
        return []
    energy = delta.abs().mean(1)[0]
    side = min(CROP, width, height)
    found = []
    for top in _starts(height, side):
        for left in _starts(width, side):
            y0, y1 = (round(v / height * energy.shape[0]) for v in (top, top + side))
            x0, x1 = (round(v / width * energy.shape[1]) for v in (left, left + side))
            found.append((float(energy[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].mean()), left, top))
    return [(left, top) for _, left, top in sorted(found, reverse=True)[:MOST_CROPS]]


def _starts(length: int, side: int) -> list[int]:
    count = min(8, -(-length // side))
    return [round(i * (length - side) / max(1, count - 1)) for i in range(count)]


def closest(artwork: Artwork, short_side: int) -> tuple[int, int]:
    """Width and height at which a file is looked at from close by: its own, but at most twice the working size."""
    scale = min(1.0, CLOSEST * short_side / min(artwork.width, artwork.height))
    return max(1, round(scale * artwork.width)), max(1, round(scale * artwork.height))


def detail(artwork: Artwork, short_side: int) -> Tensor | None:
    """The picture from close by, ``(1, 3, H, W)``; None where the file is not larger than the working size."""
    width, height = closest(artwork, short_side)
    return None if min(width, height) <= short_side else tensor(at_size(artwork.image, width, height))


class Visibility:
    """LPIPS between the original and candidates for its replacement: whole at the working resolution, crops larger.

    Larger: at the file's own size, but at most twice the working resolution, as a screen shows a picture whole.
    Made once for a picture, since the original's features are the same for every candidate.
    """

    def __init__(self, artwork: Artwork, original: Tensor, delta: Tensor, short_side: int) -> None:
        self.module = lpips.load("alex", str(original.device))
        self.artwork, self.delta, self.short_side, self.device = artwork, delta, short_side, original.device
        self.whole = self._features(original)
        self.size = closest(artwork, short_side)
        self.boxes = busiest_boxes(*self.size, delta)
        self.parts = [self._features(crop) for crop in self._crops(artwork.image, self.size, self.boxes)]

    def _crops(self, image: pyvips.Image, size: tuple[int, int], boxes: list[tuple[int, int]]) -> list[Tensor]:
        side = min(CROP, *size)
        if not boxes or size == (image.width, image.height):
            return crops(image, side, boxes)
        image = at_size(image, *size).copy_memory()  # once, not for each crop
        return [tensor(image.crop(left, top, side, side)) for left, top in boxes]

    def _features(self, picture: Tensor) -> list[Tensor]:
        if min(picture.shape[-2:]) < 32:  # LPIPS's smallest; only crops of tiny files come here
            picture = torch.nn.functional.interpolate(
                picture, scale_factor=32 / min(picture.shape[-2:]), mode="nearest"
            )
        with torch.no_grad():
            return self.module.features(picture.to(self.device))

    def _most(self, before: Sequence[list[Tensor]], after: Sequence[Tensor]) -> float | None:
        pairs = zip(before, after, strict=True)
        return max((float(self.module.compare(a, self._features(b))) for a, b in pairs), default=None)

    def close(self, image: pyvips.Image) -> float | None:
        """The largest LPIPS of the crops; None where the file is not larger than the working resolution."""
        return self._most(self.parts, self._crops(image, self.size, self.boxes))

    def figures(self, image: pyvips.Image) -> dict[str, float | None]:
        """For reports: LPIPS of crops as they are bounded, and at the file's own size, where it may be larger."""
        close, own = self.close(image), (self.artwork.width, self.artwork.height)
        if own == self.size:
            return {"lpips_crops": close, "lpips_native_crops": close}
        boxes = busiest_boxes(*own, self.delta)
        before = [self._features(crop) for crop in self._crops(self.artwork.image, own, boxes)]
        return {"lpips_crops": close, "lpips_native_crops": self._most(before, self._crops(image, own, boxes))}

    def worst(self, image: pyvips.Image) -> float:
        """LPIPS of the whole or of a crop, whichever is larger: what the budget bounds."""
        whole = float(self.module.compare(self.whole, self._features(working(image, self.short_side))))
        return max(whole, self.close(image) or 0.0)


def visible(original: Tensor, saved: Tensor) -> dict[str, float]:
    """PSNR (dB), colour cast (ΔE), CIEDE2000 (mean, of the flattest quarter, 95th percentile), L∞ (/255), at the
    working size."""
    colour = color_difference.delta_e(original, saved)
    return {
        "psnr_db": float(pixels.psnr(original, saved)),
        "colour_cast": float(color_difference.colour_cast(original, saved)),
        "delta_e_mean": float(colour.mean()),
        "delta_e_flat": float(colour[texture.flat(original).cpu()].mean()),
        "delta_e_p95": float(colour.flatten().sort().values[int(0.95 * (colour.numel() - 1))]),
        "linf_255": float(pixels.largest_difference(original, saved) * 255),
    }


@dataclass(frozen=True)
class View:
    """One model's eye: figures, and what it sees before and after (pictures in [0, 1])."""

    figures: dict[str, Any]
    before: Tensor
    after: Tensor


@torch.no_grad()
def views(
    extractors: Sequence[Extractor], original: Tensor, saved: Tensor, target: Tensor, budget: float, seed: int
) -> list[View]:
    """Latent distance and decoded view of the saved picture, beside random noise of LPIPS ``budget``.

    ``view_change``: how far the style of the decoded view has changed (``perception.style``).

    Measured in fp32 whatever the optimiser used; a long picture in squares along its length, figures averaged.
    """
    random = (original + noise(original, settings=NoiseSettings(budget, seed)).delta).clamp(0, 1)
    parts = squares(original)
    found = []
    for extractor in extractors:
        fast, extractor.precision = extractor.precision, "fp32"
        try:
            seen = [
                _view(extractor, *(x[..., rows, columns] for x in (original, saved, random, target)))
                for rows, columns in parts
            ]
        finally:
            extractor.precision = fast
        figures = {key: sum(view.figures[key] for view in seen) / len(seen) for key in seen[0].figures}
        before, after = torch.zeros_like(original), torch.zeros_like(original)
        for view, (rows, columns) in zip(seen, parts, strict=True):
            before[..., rows, columns], after[..., rows, columns] = view.before, view.after
        found.append(View(figures, before, after))
    return found


def _view(extractor: Extractor, original: Tensor, saved: Tensor, random: Tensor, target: Tensor) -> View:
    judge = lpips.load("vgg", str(original.device))
    goal = Goal(extractor, original, target)
    goal_view = judge.features(extractor.decode(goal.features))
    seen = {name: extractor.view(x) for name, x in (("clean", original), ("saved", saved), ("noise", random))}
    styles = {name: style(view) for name, view in seen.items()}
    apart = {name: float(judge.compare(judge.features(view), goal_view)) for name, view in seen.items()}
    clean = max(apart["clean"], 1e-6)
    remaining = float(goal.remaining(saved))
    figures = {
        "latent_distance_before": float(goal.initial.sqrt()),
        "latent_distance_after": float(goal.initial.sqrt()) * remaining**0.5,
        "latent_remaining": remaining,
        "latent_remaining_noise": float(goal.remaining(random)),
        "view_to_target_before": apart["clean"],
        "view_to_target_after": apart["saved"],
        "decoded_shift": 1 - apart["saved"] / clean,
        "decoded_shift_noise": 1 - apart["noise"] / clean,
        "view_change": float(style_change(styles["clean"], styles["saved"])),
        "view_change_noise": float(style_change(styles["clean"], styles["noise"])),
    }
    return View(figures, seen["clean"], seen["saved"])


def squares(picture: Tensor) -> list[tuple[slice, slice]]:
    """The whole of an ordinary picture; of a long one, squares that cover it (the windows of its cloak)."""
    height, width = picture.shape[-2:]
    short, long = min(height, width), max(height, width)
    across, parts = slice(0, short), spans(long, short) if long > LONGEST * short else [(0, long)]
    along = [slice(start, end) for start, end in parts]
    return [(part, across) if height > width else (across, part) for part in along]
