"""δ into the picture, and the picture back into a file of its own kind."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from velatura.errors import ContractError, ImageError
from velatura.images.artwork import Artwork, printable
from velatura.images.color import from_srgb, usable_profile
from velatura.images.formats import WRITTEN
from velatura.images.libvips import pyvips
from velatura.images.metadata import containers
from velatura.images.metadata.containers import avif
from velatura.images.resample import at_size, resize_delta, tensor

if TYPE_CHECKING:
    from torch import Tensor

TEMPORARY = ".velatura-"  # how the names of unfinished files begin
LOWEST_QUALITY = 90  # below it, JPEG and WebP throw away more of δ than they throw away of the picture


def apply(artwork: Artwork, delta: Tensor) -> pyvips.Image:
    """The picture plus δ, in the file's own depth, colours and layout; lazy.

    ``delta`` is ``(1, 3, h, w)``, float32, sRGB, in [-1, 1], at any resolution. The result is the original plus a
    difference, never a converted copy: δ = 0 gives back the file's exact values, wide gamut or not. Alpha is kept, and
    pixels that are fully transparent keep their hidden colour.
    """
    _check(delta)
    image = artwork.image
    colour = image[: image.bands - 1] if artwork.alpha else image
    shift = resize_delta(_in_own_colours(artwork, delta), image.width, image.height)
    top = 255 if artwork.bits == 8 else 65535
    moved = (colour + shift * top).rint().cast(image.format)  # casting clips to the format's range
    if artwork.alpha:
        alpha = image[image.bands - 1]
        moved = (alpha == 0).ifthenelse(colour, moved).bandjoin(alpha)
    return moved.copy(interpretation=image.interpretation)


def encode(artwork: Artwork, image: pyvips.Image) -> bytes:
    """``image`` as a file of the artwork's format, with its metadata and ICC profile."""
    if artwork.format not in WRITTEN:
        raise unwritable(artwork)
    alpha = bool(image.hasalpha())
    if artwork.format == "avif" and not avif.holds(artwork.metadata):
        raise ImageError(f"{artwork.name}: EXIF is larger than avif can hold (64 kB); try --strip-all")
    with _one_line(artwork):
        return containers.put(artwork.format, _pixels(artwork, image), artwork.metadata, alpha=alpha)


@contextlib.contextmanager
def _one_line(artwork: Artwork) -> Iterator[None]:
    try:
        yield
    except pyvips.Error as error:
        detail = " ".join(str(error.detail).split())[:120]
        raise ImageError(
            f"{artwork.name}: cannot be written as {artwork.format} ({detail}); try --format png"
        ) from None


def unwritable(artwork: Artwork) -> ImageError:
    why = {"gif": "the 256 colours of a GIF would not keep a cloak", "heic": "HEIC is read, but not written"}
    return ImageError(f"{artwork.name}: {why[artwork.format]}; choose another format, as with --format png")


def as_saved(artwork: Artwork, image: pyvips.Image) -> pyvips.Image:
    """What a reader of the saved file would see: ``image`` itself where the format is lossless, else decoded again."""
    if artwork.lossless:
        return image
    loader = {"avif": "heif"}.get(artwork.format, artwork.format)
    with _one_line(artwork):
        return getattr(pyvips.Image, f"{loader}load_buffer")(_pixels(artwork, image))


def save(data: bytes, path: Path) -> None:
    """Write whole or not at all: a temporary file beside ``path``, flushed to the disk, then renamed over it."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # Ctrl-C too
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(
            f"{printable(path)}: cannot be written ({reason}); choose another folder or free some space"
        ) from None


def _check(delta: Tensor) -> None:
    import torch

    if delta.ndim != 4 or delta.shape[:2] != (1, 3) or delta.dtype != torch.float32:
        raise ContractError(f"delta: expected float32 (1, 3, h, w), got {delta.dtype} {tuple(delta.shape)}")
    low, high = delta.detach().aminmax()
    if not (low >= -1 - 1e-4 and high <= 1 + 1e-4):  # also false for NaN
        raise ContractError(f"delta: expected values in [-1, 1], got [{low:.3f}, {high:.3f}]")


def _in_own_colours(artwork: Artwork, delta: Tensor) -> Tensor:
    """δ, still at its own resolution, as a difference in the file's colour space: three channels, or one for grey."""
    import torch

    delta = delta.detach().cpu()
    if artwork.grey:
        delta = delta.mean(1, keepdim=True)
    profile = usable_profile(artwork.image)
    if profile is None:
        return delta
    # How far a step in sRGB goes in a profile depends on where it starts; the picture at δ's size tells well enough,
    # and spares three conversions of every pixel of the file (13 s for 24 megapixels).
    before = at_size(artwork.image, delta.shape[3], delta.shape[2])
    after = (tensor(before) + delta).clamp(0, 1)
    own_before, own_after = (from_srgb(_image(t), profile, artwork.grey) for t in (tensor(before), after))
    difference = (own_after - own_before).numpy() / 255
    difference = difference[..., None] if difference.ndim == 2 else difference
    return torch.from_numpy(difference).permute(2, 0, 1)[None]


def _image(picture: Tensor) -> pyvips.Image:
    return pyvips.Image.new_from_array((picture[0].permute(1, 2, 0) * 255).contiguous().numpy())


def _pixels(artwork: Artwork, image: pyvips.Image) -> bytes:
    """The file without metadata but the profile."""
    return _SAVERS[artwork.format](artwork, image)


def _png(artwork: Artwork, image: pyvips.Image) -> bytes:
    # filter: all of PNG's five, chosen row by row; the default (none) makes files a quarter larger.
    data: bytes = image.pngsave_buffer(compression=6, filter=0xF8, bitdepth=artwork.bits, palette=False, keep="icc")
    return data


def _jpeg(artwork: Artwork, image: pyvips.Image) -> bytes:
    # Full chroma: 4:2:0 would average away what δ does to colour, and δ would have to become stronger in brightness.
    # Optimal Huffman tables save a sixth, but hold all coefficients in memory: 6 bytes a pixel.
    small = image.width * image.height < 50_000_000
    data: bytes = image.jpegsave_buffer(Q=_quality(artwork), subsample_mode="off", optimize_coding=small, keep="icc")
    return data


def _webp(artwork: Artwork, image: pyvips.Image) -> bytes:
    # Lossy WebP always halves chroma; smart_subsample is the sharpest it offers. exact: colours under alpha 0 stay.
    data: bytes = image.webpsave_buffer(
        Q=_quality(artwork), lossless=artwork.lossless, exact=True, alpha_q=100, smart_subsample=True, keep="icc"
    )
    return data


def _tiff(artwork: Artwork, image: pyvips.Image) -> bytes:
    compression = artwork.compression or "deflate"
    predictor = "horizontal" if compression in ("lzw", "deflate") else "none"
    data: bytes = image.tiffsave_buffer(compression=compression, predictor=predictor, keep="icc")
    return data


def _avif(artwork: Artwork, image: pyvips.Image) -> bytes:
    image, metadata = image.copy(), artwork.metadata
    if metadata.exif:
        image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-ImageDescription", avif.placeholder(metadata))
    if metadata.xmp:
        image.set_type(pyvips.GValue.blob_type, "xmp-data", metadata.xmp)
    keep = "icc|xmp|exif" if metadata.exif else "icc|xmp"
    data: bytes = image.heifsave_buffer(
        compression="av1", Q=_quality(artwork), bitdepth=artwork.depth, subsample_mode="off", effort=4, keep=keep
    )
    return data


def _quality(artwork: Artwork) -> int:
    quality = artwork.quality or 0
    return quality if artwork.chosen else max(LOWEST_QUALITY, quality)


_SAVERS = {"png": _png, "jpeg": _jpeg, "webp": _webp, "tiff": _tiff, "avif": _avif}
