"""From a file's own colours to sRGB, and back.

The tensor contract is sRGB, as mimics and browsers see a picture; the file keeps its own profile. Values are 0 to 255
on both sides (a float image keeps the precision of 16 bit files).
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np

from velatura.images.libvips import pyvips

PROFILE = "icc-profile-data"  # as libvips names it
WHITE = 255.0


def flatten(image: pyvips.Image) -> pyvips.Image:
    """The picture painted over white: what most pages behind it are, and what a JPEG made from it will show."""
    if not image.hasalpha():
        return image
    top = 65535 if image.format == "ushort" else 255
    return image.flatten(background=[WHITE / 255 * top], max_alpha=top)


def eight_bit_scale(image: pyvips.Image) -> pyvips.Image:
    """Float values from 0 to 255, whatever the file's own depth."""
    return image.cast("float") * (1 / 257) if image.format == "ushort" else image.cast("float")


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """Three bands of sRGB over white, 0 to 255: uchar where that is exact, else float. Grey becomes three equal bands.

    Without a profile, or with a broken one, or with one that is sRGB by another name, the values are taken as sRGB.
    """
    profile = usable_profile(image)
    if profile is None:
        image = flatten(image)
        return _rgb(image if image.format == "uchar" else eight_bit_scale(image))
    if not image.hasalpha():
        return _rgb(_transform_to_srgb(image, profile))
    # Screens blend in their own colours, not in the file's.
    colour = _rgb(_transform_to_srgb(image[: image.bands - 1], profile))
    return flatten(colour.bandjoin(eight_bit_scale(image[image.bands - 1])).copy(interpretation="srgb"))


def grey_to_rgb(image: pyvips.Image) -> pyvips.Image:
    """A grey picture (with its alpha) as sRGB of the same depth, without its profile, which is for one channel."""
    colour, deep = image[0], image.format == "ushort"
    colour = _rgb(_transform_to_srgb(colour, profile)) if (profile := usable_profile(image)) else _rgb(colour)
    if profile and deep:
        colour = colour * 257
    colour = colour.rint().cast(image.format).copy(interpretation="rgb16" if deep else "srgb")
    colour = without_profile(colour)
    return colour.bandjoin(image[1]) if image.bands == 2 else colour


def without_profile(image: pyvips.Image) -> pyvips.Image:
    image = image.copy()
    if PROFILE in image.get_fields():
        image.remove(PROFILE)
    return image


def from_srgb(srgb: pyvips.Image, profile: bytes, grey: bool) -> pyvips.Image:
    """Float values (0 to 255; one band if ``grey``) of a float sRGB image in the colour space of ``profile``."""
    lab = _sixteen(srgb, "rgb16").icc_import(input_profile="srgb", pcs="lab").copy()
    lab.set_type(pyvips.GValue.blob_type, PROFILE, profile)  # icc_export goes to the profile that the image carries
    values = eight_bit_scale(lab.icc_export(depth=16, pcs="lab"))
    return values[0] if grey else values


def profile_fits(image: pyvips.Image) -> bool:
    """Whether the picture's profile, if it has one, can be read and is for as many colours: libvips writes no other."""
    from PIL import ImageCms

    if PROFILE not in image.get_fields():
        return True
    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(image.get(PROFILE))).profile.xcolor_space
    except (ImageCms.PyCMSError, OSError):
        return False
    return str(space).strip() == ("GRAY" if image.bands < 3 else "RGB")


def profile_name(profile: bytes) -> str:
    """What a profile calls itself."""
    from PIL import ImageCms

    try:
        return str(ImageCms.getProfileDescription(io.BytesIO(profile))).strip() or "without a name"
    except (ImageCms.PyCMSError, OSError):
        return "damaged"


def cmyk_profile(image: pyvips.Image) -> bool:
    """Whether a CMYK picture says what its inks look like, in a way that works."""
    if PROFILE not in image.get_fields():
        return False
    try:
        cmyk_to_srgb(pyvips.Image.black(1, 1, bands=4).copy(interpretation="cmyk"), image.get(PROFILE)).avg()
    except pyvips.Error:
        return False
    return True


def cmyk_to_srgb(image: pyvips.Image, profile: bytes | None = None) -> pyvips.Image:
    """sRGB of the same depth, relative colorimetric with black point compensation, as print programs show it."""
    deep = image.format == "ushort"
    if profile is not None:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    return image.icc_transform(
        "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=16 if deep else 8
    )


def usable_profile(image: pyvips.Image) -> bytes | None:
    """The embedded profile if a conversion through it works and does anything."""
    if PROFILE not in image.get_fields():
        return None
    profile: bytes = image.get(PROFILE)
    return profile if _differs_from_srgb(profile, image.bands < 3) else None


@lru_cache(maxsize=16)
def _differs_from_srgb(profile: bytes, grey: bool) -> bool:
    """Ask a small grid of colours, not the profile's name: "sRGB" comes under many names, and names can be wrong."""
    steps = np.linspace(0, 255, 9, dtype=np.float32)
    grid = steps[:, None, None] if grey else np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    try:
        image = pyvips.Image.new_from_array(grid)
        srgb = _transform_to_srgb(image, profile)
        from_srgb(srgb, profile, grey).avg()
    except pyvips.Error:
        return False
    return bool(np.abs(srgb.numpy().reshape(grid.shape) - grid).max() > 1.5)


def _transform_to_srgb(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    wide = _sixteen(image, "grey16" if image.bands == 1 else "rgb16").copy()
    wide.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    lab = wide.icc_import(embedded=True, pcs="lab")
    srgb = eight_bit_scale(lab.icc_export(output_profile="srgb", depth=16, pcs="lab"))
    return srgb[1] if image.bands == 1 else srgb  # through Lab, the three bands of a grey differ by a rounding


def _sixteen(image: pyvips.Image, interpretation: str) -> pyvips.Image:
    """For the colour engine: 8 bit steps would show as steps of δ."""
    if image.format != "ushort":
        image = (image * 257).rint().cast("ushort")
    return image.copy(interpretation=interpretation)


def _rgb(image: pyvips.Image) -> pyvips.Image:
    colour = image if image.bands == 3 else image[0].bandjoin([image[0], image[0]])
    return colour.copy(interpretation="srgb")
