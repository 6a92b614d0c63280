"""What becomes of a protected file when it is published, and what its owner should know of the file itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyvips
import torch
from torch import Tensor

from velatura.cloaks.cloak import Goal
from velatura.diffusion.extractors import Extractor
from velatura.images import Artwork, prepared, working
from velatura.images.color import flatten
from velatura.images.delivery import Platform
from velatura.images.kinds import growth, kind
from velatura.perception.pixels import share_left
from velatura.protection.frame import frame
from velatura.protection.views import squares

if TYPE_CHECKING:
    from velatura.protection.settings import Settings

GROWTH = 1.5  # times the source's bytes, from which it is said
LARGE = 20  # and from which it is said before the work starts
GRAIN = "flat colours pack small, and a cloak is grain, which does not"
NEARER = 1.5  # times the LPIPS of the crops that are bounded, from which those of the file's own pixels are named
KEPT = 0.8  # of δ in the file, below which another format is named
LOWEST = 30  # quality to which a platform is assumed to go down for its limit of bytes


def recompressed(image: pyvips.Image, platform: Platform) -> tuple[pyvips.Image, int]:
    """The picture after the platform's assumed JPEG, and that one's quality."""
    image = flatten(image)
    quality = platform.quality
    while True:
        data = image.jpegsave_buffer(Q=quality, subsample_mode="on", keep="icc")
        if platform.most_bytes is None or len(data) <= platform.most_bytes or quality <= LOWEST:
            return pyvips.Image.jpegload_buffer(data), quality
        quality -= 5


@torch.no_grad()
def after_platform(
    platform: Platform,
    image: pyvips.Image,
    within: Callable[[pyvips.Image], pyvips.Image],
    original: Tensor,
    saved: Tensor,
    target: Tensor,
    extractors: Sequence[Extractor],
) -> dict[str, Any]:
    """What an assumed recompression leaves: share of δ, and latent distance to the target by model (1: none left).

    ``image``: the saved file's; ``within``: what of it was cloaked.
    """
    recoded, quality = recompressed(image, platform)
    published = working(within(recoded), min(original.shape[-2:])).to(original.device)
    remaining = {}
    for extractor in extractors:
        parts = []
        for rows, columns in squares(original):
            goal = Goal(extractor, original[..., rows, columns], target[..., rows, columns])
            parts.append([float(goal.remaining(x[..., rows, columns])) for x in (saved, published)])
        before, after = (sum(part[i] for part in parts) / len(parts) for i in range(2))
        remaining[extractor.name] = {"file": before, "published": after}
    left = float(share_left(original, saved, published))
    return {**asdict(platform), "assumed_quality": quality, "delta_left": left, "latent_remaining": remaining}


def forecast(artwork: Artwork, settings: Settings) -> str | None:
    """Of a picture as it was read: that its file may grow many times, and why; None where it will not."""
    if not settings.budget or growth(artwork) < LARGE:
        return None
    artwork = prepared(artwork, settings.delivery)
    found = kind(artwork)
    times = growth(frame(artwork, found).inside)
    if found.nothing is not None or times < LARGE:
        return None
    sizes = f"from {artwork.source_bytes / 1000:.0f} to {times * artwork.source_bytes / 1000:.0f} kB"
    return f"{artwork.name} may grow up to {times:.0f} times, {sizes}: {GRAIN}"


def notes(
    artwork: Artwork, figures: Mapping[str, Any], platform: Mapping[str, Any] | None, expected: float = 1.0
) -> list[str]:
    """What had to change, what the format costs, and what publishing is assumed to leave.

    ``expected``: how many times as large the file was to become (``images.kinds.growth``).
    """
    found = list(artwork.notes)
    before, after = figures["bytes_before"], figures["bytes_after"]
    if after > GROWTH * before:
        hint = f": {GRAIN}" if expected >= LARGE else ""
        if not artwork.lossless:
            hint = "; a lower quality makes it smaller, at the cloak's expense"
        found.append(f"the file grew from {before / 1000:.0f} to {after / 1000:.0f} kB{hint}")
    kept = figures["delta_kept"]
    if not artwork.lossless and kept is not None and kept < KEPT:
        found.append(f"as {artwork.format} the file keeps {kept:.0%} of the cloak: PNG keeps it all")
    native, close = figures["lpips_native_crops"], figures["lpips_crops"]
    if native is not None and native > NEARER * max(close, 0.01):
        found.append(
            f"at 100 % zoom, where no screen shows it whole, the change is more visible (LPIPS {native:.2f}); "
            "a lower intensity makes it fainter"
        )
    if platform is not None:
        found.append(
            f"{platform['name']} is assumed to make a JPEG of quality {platform['assumed_quality']} of it: "
            f"{platform['delta_left']:.0%} of the cloak would be left (compare ORIGINAL PROTECTED DOWNLOADED tells)"
        )
    return found
