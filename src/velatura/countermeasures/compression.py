"""Lossy compression by libvips' encoders: fine detail goes first, and a perturbation is fine detail."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from velatura.countermeasures.arrays import Array, each, eight_bits
from velatura.countermeasures.settings import Settings, setting
from velatura.images.libvips import pyvips


@dataclass(frozen=True)
class JpegSettings(Settings):
    quality: int = setting(75, "libjpeg's", 1, 100)
    chroma: str = setting(
        "halved", "colour at half resolution (4:2:0), as most files have it, or full", one_of=("halved", "full")
    )


@dataclass(frozen=True)
class WebpSettings(Settings):
    quality: int = setting(75, "libwebp's", 0, 100)


@dataclass(frozen=True)
class AvifSettings(Settings):
    quality: int = setting(50, "libheif's", 1, 100)


def jpeg(pictures: Tensor, *, settings: JpegSettings) -> Tensor:
    """JPEG and back."""
    subsample = "on" if settings.chroma == "halved" else "off"

    def there_and_back(array: Array, index: int) -> Array:
        data = _image(array).jpegsave_buffer(Q=settings.quality, subsample_mode=subsample)
        return _array(pyvips.Image.jpegload_buffer(data))

    return each(pictures, there_and_back)


def webp(pictures: Tensor, *, settings: WebpSettings) -> Tensor:
    """Lossy WebP and back."""

    def there_and_back(array: Array, index: int) -> Array:
        return _array(pyvips.Image.webpload_buffer(_image(array).webpsave_buffer(Q=settings.quality)))

    return each(pictures, there_and_back)


def avif(pictures: Tensor, *, settings: AvifSettings) -> Tensor:
    """AVIF and back."""

    def there_and_back(array: Array, index: int) -> Array:
        data = _image(array).heifsave_buffer(Q=settings.quality, compression="av1", effort=2)
        return _array(pyvips.Image.heifload_buffer(data))

    return each(pictures, there_and_back)


def _image(array: Array) -> pyvips.Image:
    return pyvips.Image.new_from_array(eight_bits(array), interpretation="srgb")


def _array(image: pyvips.Image) -> Array:
    array: Array = image.numpy().astype("float32") / 255
    return array
