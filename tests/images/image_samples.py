"""Test pictures, made here: smooth colours with a little noise, small, and different in every corner."""

from __future__ import annotations

import io
import struct

import numpy as np
import pyvips
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from velatura.images import read

P3 = pyvips.Image.profile_load("p3")
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="Sea"/></x:xmpmeta>'
WIDTH, HEIGHT = 120, 80
MODES = ["rgb8", "rgb16", "grey8", "grey16", "rgba8", "rgba16", "greya8"]
MODES += ["rgb8-p3", "rgb16-p3", "rgba8-p3", "grey8-g18"]
LOSSLESS = [(f, m) for f in ("png", "tiff") for m in MODES] + [("webp", m) for m in ("rgb8", "rgba8", "rgb8-p3")]
LOSSY = [("jpeg", "rgb8"), ("jpeg", "grey8"), ("jpeg", "rgb8-p3"), ("webp-lossy", "rgb8"), ("webp-lossy", "rgba8")]


def grey_profile(gamma: float = 1.8) -> bytes:
    """A minimal ICC v2 grey profile; libvips has none built in."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(78 + 3)
    tags, body, offset = b"", b"", 128 + 4 + 3 * 12
    for name, data in ((b"wtpt", white), (b"kTRC", curve), (b"desc", text)):
        tags += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    whole = struct.pack(">I", 3) + tags + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(whole), b"none", 0x02400000, b"mntr", b"GRAY", b"XYZ ") + bytes(12)
    head += b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + whole


def profile(mode: str) -> bytes | None:
    return {"p3": P3, "g18": grey_profile()}[mode.split("-")[1]] if "-" in mode else None


def pixels(mode: str, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """``(h, w, bands)``, away from black and white, so that a small δ is not clipped."""
    layout = mode.split("-")[0]
    deep = layout.endswith("16")
    y, x = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    bands = [60 + 120 * x, 70 + 100 * y, 80 + 60 * x + 50 * y]
    noise = np.random.default_rng(7).normal(0, 4, (height, width, 3))
    colour = np.clip(np.stack(bands, -1) + noise, 30, 225)
    colour = colour[..., :1] if layout.startswith("grey") else colour
    if "a" in layout.removeprefix("grey").removeprefix("rgb"):
        alpha = np.clip(np.round(x * 400 - 60), 0, 255)[..., None]  # none, some, all
        colour = np.concatenate([colour, alpha], -1)
    return np.round(colour * 257).astype(np.uint16) if deep else np.round(colour).astype(np.uint8)


def image(mode: str) -> pyvips.Image:
    array = pixels(mode)
    deep, grey = array.dtype == np.uint16, array.shape[2] < 3
    picture = pyvips.Image.new_from_array(array)
    picture = picture.copy(interpretation=("grey16" if deep else "b-w") if grey else ("rgb16" if deep else "srgb"))
    if "-" in mode:
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile(mode))
    return picture.copy_memory()


def encoded(format: str, picture: pyvips.Image) -> bytes:
    match format:
        case "png":
            return picture.pngsave_buffer(compression=1)
        case "jpeg":
            return picture.jpegsave_buffer(Q=95)
        case "webp":
            return picture.webpsave_buffer(lossless=True, exact=True, effort=0)
        case "webp-lossy":
            return picture.webpsave_buffer(Q=95, exact=True, effort=0)
        case "tiff":
            return picture.tiffsave_buffer(compression="lzw")
    raise ValueError(format)


def artwork(format: str, mode: str):
    return read(encoded(format, image(mode)))


def tagged(format: str, orientation: int = 6) -> bytes:
    """By Pillow: EXIF with an orientation and an author, a stale XMP orientation, 300 dpi."""
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = orientation, "Ada"
    out = io.BytesIO()
    extra: dict = {"exif": exif}
    match format:
        case "png":
            extra["pnginfo"] = PngInfo()
            extra["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
        case "jpeg":
            extra |= {"xmp": XMP, "quality": 95}
        case "webp":
            extra |= {"xmp": XMP, "lossless": True}
        case "tiff":
            extra = {"tiffinfo": {700: XMP, 0x0112: orientation}}
    Image.fromarray(pixels("rgb8")).save(out, format.upper(), dpi=(300, 300), **extra)
    return out.getvalue()


def pillow(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture
