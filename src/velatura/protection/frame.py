"""The part of a file that is worked on: what shows of a transparent picture, the own grid of enlarged pixel art."""

from __future__ import annotations

from dataclasses import dataclass, replace

from velatura.images import Artwork
from velatura.images.kinds import Kind, enlarged, on_grid, shown_box, shrunk
from velatura.images.libvips import pyvips
from velatura.images.resample import MOST_ELONGATED


@dataclass(frozen=True)
class Frame:
    """``whole`` is the file, ``inside`` what is cloaked of it, an artwork like any other."""

    whole: Artwork
    inside: Artwork
    kind: Kind
    box: tuple[int, int, int, int] | None

    def around(self, image: pyvips.Image) -> pyvips.Image:
        """A changed inside, in the whole file; lazy."""
        if self.box is not None:
            image = self.whole.image.insert(image, *self.box[:2])
        return enlarged(image, self.whole, self.kind) if self.on_grid else image

    def within(self, image: pyvips.Image) -> pyvips.Image:
        """The inside of a changed whole file; lazy."""
        if self.on_grid:
            return on_grid(image, self.kind.grid or 1)
        return image if self.box is None else image.crop(*self.box)

    @property
    def on_grid(self) -> bool:
        return self.kind.name == "pixel art" and bool(self.kind.grid)


def frame(artwork: Artwork, kind: Kind) -> Frame:
    """What of the artwork is cloaked."""
    if kind.name == "pixel art" and kind.grid:
        return Frame(artwork, shrunk(artwork, kind), kind, None)
    box = shown_box(artwork)
    thin = max(box[2:]) > MOST_ELONGATED * min(box[2:])  # too long to be worked on by itself
    if thin or box == (0, 0, artwork.width, artwork.height):
        return Frame(artwork, artwork, kind, None)
    part = artwork.image.crop(*box).copy_memory()
    return Frame(artwork, replace(artwork, image=part, width=box[2], height=box[3]), kind, box)
