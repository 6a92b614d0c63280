"""Files to tensors and back: read a picture, see it at the working resolution, add δ, write its own kind of file."""

from velatura.images.artwork import Artwork
from velatura.images.delivery import Delivery
from velatura.images.prepare import prepared
from velatura.images.read import read
from velatura.images.resample import crops, opacity, resize_delta, working, working_size
from velatura.images.sandbox import read_guarded, sweep
from velatura.images.write import apply, as_saved, encode, save

__all__ = [
    "Artwork",
    "Delivery",
    "apply",
    "as_saved",
    "crops",
    "encode",
    "opacity",
    "prepared",
    "read",
    "read_guarded",
    "resize_delta",
    "save",
    "sweep",
    "working",
    "working_size",
]
