"""How visible the change is in the file as written: what the two budgets bound, and what a report says besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyvips
import torch
from torch import Tensor

from velatura.images import Artwork, crops, opacity, working
from velatura.images.resample import at_size, tensor
from velatura.perception import color_difference, lpips, pixels, texture
from velatura.perception.flip import Flip
from velatura.protection.settings import CLOSEST

CROP = 512
MOST_CROPS = 4
PART = 2_000_000  # pixels of which ꟻLIP is taken at once, for the sake of memory


@dataclass(frozen=True)
class Bounds:
    """LPIPS and, unless None, mean ꟻLIP that the file may have."""

    lpips: float
    flip: float | None


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


def enlargement(artwork: Artwork, short_side: int) -> float:
    """How much larger than at the working size a file is looked at, 1 to :data:`CLOSEST`."""
    return max(1.0, min(closest(artwork, short_side)) / short_side)


class Visibility:
    """How visible candidates for a picture's replacement are: whole at the working resolution, and from close by.

    From close by is at the file's own size, but at most at twice the working resolution, as a screen shows a picture
    whole. Made once for a picture, since the original is the same for every candidate.
    """

    def __init__(self, artwork: Artwork, original: Tensor, delta: Tensor, short_side: int, bounds: Bounds) -> None:
        self.module = lpips.load("alex", str(original.device))
        self.artwork, self.delta, self.short_side, self.bounds = artwork, delta, short_side, bounds
        self.device = original.device
        shown = opacity(artwork, short_side)
        self.shown = None if shown is None else shown.to(self.device)
        if self.shown is not None:
            self.delta = delta = self.shown * delta
        self.whole = self._features(original)
        self.size = closest(artwork, short_side)
        self.boxes = busiest_boxes(*self.size, delta)
        self.parts = [self._features(crop) for crop in self._crops(artwork.image, self.size, self.boxes)]
        self.eyes = [Flip(part) for part in self._near(artwork.image)]
        self.weights: list[Tensor | float] = [1.0] * len(self.eyes)
        if self.shown is not None:
            grown = torch.nn.functional.interpolate(self.shown, self.size[::-1], mode="bilinear")
            self.weights = list(self._strips(grown))

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

    def _near(self, image: pyvips.Image) -> Sequence[Tensor]:
        return self._strips(tensor(at_size(image, *self.size)).to(self.device))

    def _strips(self, picture: Tensor) -> Sequence[Tensor]:
        along = 2 if picture.shape[2] > picture.shape[3] else 3
        count = -(-picture.shape[2] * picture.shape[3] // PART)
        return picture.chunk(count, along)

    @torch.no_grad()
    def flip(self, image: pyvips.Image) -> float:
        """Mean ꟻLIP from close by, over what shows."""
        total = weight = 0.0
        for eye, part, shown in zip(self.eyes, self._near(image), self.weights, strict=True):
            found = eye(part)
            total += float((found * shown).sum())
            weight += float(shown.sum()) if isinstance(shown, Tensor) else found.numel()
        return total / max(weight, 1e-6)

    def lpips(self, image: pyvips.Image) -> float:
        """LPIPS of the whole at the working resolution, over what shows."""
        seen = self._features(working(image, self.short_side))
        return float(self.module.compare(self.whole, seen, self.shown))

    def close(self, image: pyvips.Image) -> float | None:
        """The largest LPIPS of the crops; None where the file is not larger than the working resolution."""
        return self._most(self.parts, self._crops(image, self.size, self.boxes))

    def figures(self, image: pyvips.Image) -> dict[str, float | None]:
        """For reports: LPIPS, ꟻLIP; LPIPS of crops as bounded, and at the file's own size, where it may be larger."""
        close, own = self.close(image), (self.artwork.width, self.artwork.height)
        found: dict[str, float | None] = {"lpips": self.lpips(image), "flip": self.flip(image)}
        found |= {"lpips_crops": close, "lpips_native_crops": close}
        if own != self.size:
            boxes = busiest_boxes(*own, self.delta)
            before = [self._features(crop) for crop in self._crops(self.artwork.image, own, boxes)]
            found["lpips_native_crops"] = self._most(before, self._crops(image, own, boxes))
        return found

    def used(self, image: pyvips.Image) -> float:
        """The largest share of a budget that is used: up to 1 is within both."""
        share = max(self.lpips(image), self.close(image) or 0.0) / max(self.bounds.lpips, 1e-9)
        if self.bounds.flip is not None:
            share = max(share, self.flip(image) / self.bounds.flip)
        return share


def visible(original: Tensor, saved: Tensor, shown: Tensor | None = None) -> dict[str, float]:
    """PSNR (dB), colour cast (ΔE), CIEDE2000 (mean, of the flattest quarter, 95th percentile), L∞ (/255), at the
    working size; of what shows, where ``shown`` is the opacity ``(1, 1, H, W)``."""
    colour = color_difference.delta_e(original, saved)
    flat = texture.flat(original).cpu()
    square = (original - saved).pow(2).mean(1)[0].cpu()
    if shown is not None:
        seen = shown[:, 0].cpu() > 0.5
        flat = flat & seen if bool((flat & seen).any()) else seen
        colour, flat, square = colour[seen], flat[seen], square[seen[0]]
    return {
        "psnr_db": float(-10 * torch.log10(square.mean().clamp_min(1e-12))),
        "colour_cast": float(color_difference.colour_cast(original, saved)),
        "delta_e_mean": float(colour.mean()),
        "delta_e_flat": float(colour[flat].mean()),
        "delta_e_p95": float(colour.flatten().sort().values[int(0.95 * (colour.numel() - 1))]),
        "linf_255": float(pixels.largest_difference(original, saved) * 255),
    }
