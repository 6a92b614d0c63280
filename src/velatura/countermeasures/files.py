"""A whole file through a countermeasure: same format, metadata, depth and transparency."""

from __future__ import annotations

from dataclasses import replace

from velatura.countermeasures.treatment import Treatment
from velatura.images import Artwork, apply, encode, working_size
from velatura.images.color import to_srgb
from velatura.images.resample import resized, tensor


def purify(
    artwork: Artwork, treatment: Treatment, *, device: str = "cpu", short_side: int | None = None, shift: int = 0
) -> bytes:
    """The picture after the treatment, as a file of its own kind.

    ``short_side`` brings larger pictures down to it first, as mimics do before they train. ``shift``: as in
    ``Treatment``.
    """
    if short_side is not None and min(artwork.width, artwork.height) > short_side:
        artwork = reduced(artwork, short_side)
    picture = tensor(to_srgb(artwork.image))
    # The change is added to the file's own values: what a treatment leaves alone stays exact in any depth and profile.
    return encode(artwork, apply(artwork, treatment(picture.to(device), shift=shift).cpu() - picture))


def reduced(artwork: Artwork, short_side: int) -> Artwork:
    """The artwork with fewer pixels, Lanczos3."""
    width, height = working_size(artwork.width, artwork.height, short_side, 1)
    image = artwork.image
    if artwork.alpha:  # colours under transparency must not bleed into their neighbours
        top = 255 if artwork.bits == 8 else 65535
        small = resized(image.premultiply(max_alpha=top), width, height).unpremultiply(max_alpha=top).rint()
    else:
        small = resized(image, width, height)
    small = small.cast(image.format).copy(interpretation=image.interpretation)
    return replace(artwork, image=small.copy_memory(), width=width, height=height)
