"""Whole files of every kind, mode and profile, with all the metadata that exiftool can put into them."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import image_samples as make
import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

EXIFTOOL = shutil.which("exiftool") is not None
needs_exiftool = pytest.mark.skipif(
    not EXIFTOOL, reason="exiftool (Debian: libimage-exiftool-perl) is the oracle here; not found"
)
TAGS = {
    "Artist": "Ada Løvelace",
    "Copyright": "© 2026 Ada",
    "ImageDescription": "Sea",
    "EXIF:DateTimeOriginal": "2024:05:06 07:08:09",
    "EXIF:CreateDate": "2024:05:06 07:08:09",
    "EXIF:ModifyDate": "2024:05:07 07:08:09",
    "EXIF:OffsetTimeOriginal": "+02:00",
    "EXIF:GPSLatitude": "52.5",
    "EXIF:GPSLatitudeRef": "N",
    "EXIF:LensModel": "Brush 5",
    "EXIF:UserComment": "Öl auf Leinwand",
    "EXIF:XPKeywords": "sea;ship",
    "EXIF:AmbientTemperature": "21",  # a tag that libexif does not know
    "EXIF:Rating": "5",
    "EXIF:XResolution": "300",
    "EXIF:YResolution": "300",
    "EXIF:ResolutionUnit": "inches",
    "XMP-dc:Title": "Sea",
    "XMP-dc:Subject": "boats",
    "XMP-dc:Rights": "Ada",
    "XMP-exif:GPSLatitude": "52.5",
    "IPTC:Keywords": "sea",
    "IPTC:By-line": "Ada",
    "Comment": "hällo",
}
# Of where bytes lie in the file and how pixels are packed, not of the picture.
_PACKING = (
    "System", "ExifTool", "SourceFile", "QuickTime:MediaData", "StripOffsets", "StripByteCounts", "TileOffsets",
    "TileByteCounts", "RowsPerStrip", "File:EncodingProcess", "YCbCrSubSampling", "PlanarConfiguration",
    "IFD0:Orientation", "Thumbnail", "PNG:BitDepth", "PNG:ColorType", "PNG:Palette", "PNG:Interlace", "VP8X",
    "RIFF:VP8", "RIFF:Horizontal", "RIFF:Vertical", "RIFF:Alpha", "RIFF:WebP_Flags", "Predictor", "Compression",
    "File:CurrentIPTCDigest", "FillOrder", "SubfileType", "TileWidth", "TileLength",
)  # fmt: skip

# What libvips' savers write into a file that lacked it.
GAINED = {"tiff": {"IFD0:XResolution", "IFD0:YResolution", "IFD0:ResolutionUnit", "IFD0:SampleFormat"}}


def tags(path: Path) -> dict[str, object]:
    """What exiftool finds in a file, by group and name."""
    return tags_of([path])[path.name]


def tags_of(paths: Iterable[Path]) -> dict[str, dict[str, object]]:
    """The same of many files, by their names."""
    command = ["exiftool", "-j", "-G1", "-a", "-struct", "-charset", "filename=utf8", *map(os.fspath, paths)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {
        Path(tree["SourceFile"]).name: {k: v for k, v in tree.items() if not any(word in k for word in _PACKING)}
        for tree in found
    }


def tag(*paths: Path, changes: dict[str, str] = TAGS) -> None:
    """Write metadata into files with exiftool; kinds that have no place for some get the rest."""
    words = [f"-{name}={value}" for name, value in changes.items()]
    command = ["exiftool", "-q", "-q", "-overwrite_original", *words, *map(os.fspath, paths)]
    subprocess.run(command, capture_output=True, check=False)


def rgb_profile(red: tuple, green: tuple, blue: tuple, gamma: float) -> bytes:
    """A matrix profile (ICC v2, D50): Adobe RGB and ProPhoto are such, and may not be copied here."""

    def fixed(values) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78 + 3)
    parts = {b"wtpt": fixed((0.9642, 1, 0.8249)), b"desc": text, b"cprt": b"text\0\0\0\0none\0"}
    parts |= {b"rXYZ": fixed(red), b"gXYZ": fixed(green), b"bXYZ": fixed(blue)}
    parts |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body, offset = b"", b"", 128 + 4 + len(parts) * 12
    for name, data in parts.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    whole = struct.pack(">I", len(parts)) + table + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(whole), b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12)
    head += b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + whole


PROFILES = {
    "": None,
    "p3": make.P3,
    "adobe": rgb_profile((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457), 2.2),
    "prophoto": rgb_profile((0.7977, 0.2880, 0), (0.1352, 0.7119, 0), (0.0313, 0.0001, 0.8249), 1.8),
    "grey": make.grey_profile(),
}


def picture(mode: str, profile: str = "") -> pyvips.Image:
    image = make.image(mode).copy()
    if PROFILES[profile]:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", PROFILES[profile])
    return image


def file(kind: str, mode: str, profile: str = "") -> bytes:
    """By libvips, as such files come: ``kind`` names format and variety. Lossy ones without grain."""
    image = picture(mode, profile)
    if kind.partition("-")[0] in ("jpeg", "avif") or kind == "webp-lossy":
        image = image.gaussblur(2)
    match kind:
        case "png":
            return image.pngsave_buffer(compression=1)
        case "png-interlaced":
            return image.pngsave_buffer(compression=1, interlace=True)
        case "jpeg":
            return image.jpegsave_buffer(Q=93)
        case "jpeg-progressive":
            return image.jpegsave_buffer(Q=93, interlace=True, optimize_coding=True)
        case "webp":
            return image.webpsave_buffer(lossless=True, exact=True, effort=0)
        case "webp-lossy":
            return image.webpsave_buffer(Q=93, exact=True, effort=0)
        case "tiff":
            return image.tiffsave_buffer(compression="lzw")
        case "tiff-tiled":
            return image.tiffsave_buffer(compression="deflate", tile=True, tile_width=32, tile_height=32)
        case "tiff-raw":
            return image.tiffsave_buffer(compression="none")
        case "avif":
            return image.heifsave_buffer(compression="av1", Q=93, effort=2, subsample_mode="off")
        case "avif-10":
            return image.heifsave_buffer(compression="av1", Q=93, effort=2, bitdepth=10, subsample_mode="off")
    raise ValueError(kind)


def palette_png() -> bytes:
    out = io.BytesIO()
    make.pillow(make.encoded("png", make.image("rgb8"))).quantize(64).save(out, "PNG")
    return out.getvalue()


def cmyk(format: str, *, ycck: bool = False, profile: bool = True) -> bytes:
    """CMYK by Pillow, with libvips' own profile of inks; as YCCK by what its Adobe segment says of the same bytes."""
    icc = pyvips.Image.profile_load("cmyk")
    out = io.BytesIO()
    colours = make.pillow(make.encoded("png", make.image("rgb8"))).convert("CMYK")
    options = {"icc_profile": icc} if profile else {}
    colours.save(out, format.upper(), **options, **({"quality": 95} if format == "jpeg" else {}))
    data = out.getvalue()
    if ycck:
        at = data.index(b"Adobe\0") + 11
        data = data[:at] + b"\2" + data[at + 1 :]
    return data


def rendered(data: bytes) -> np.ndarray:
    """sRGB ``(h, w, 3)`` of an 8 bit file as Pillow and LittleCMS show it, over white."""
    seen = make.pillow(data)
    icc = seen.info.get("icc_profile")
    alpha = seen.getchannel("A") if seen.mode in ("RGBA", "LA", "PA") else None
    if seen.mode in ("P", "PA"):
        seen = seen.convert("RGB")
    if alpha is not None:
        seen = seen.convert("L" if seen.mode == "LA" else "RGB")
    if seen.mode.startswith("I;16"):
        seen = Image.fromarray((np.asarray(seen, float) / 257).round().astype(np.uint8))
    if icc:
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION if seen.mode == "CMYK" else 0
        source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        seen = ImageCms.profileToProfile(seen, source, srgb, intent, "RGB", flags=flags)
    colour = np.asarray(seen.convert("RGB"), float)
    if alpha is None:
        return colour
    share = np.asarray(alpha, float)[..., None] / 255
    return colour * share + 255 * (1 - share)


def delta_e(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """CIE76 between two sRGB pictures (0 to 255); ΔE 2000 is smaller in nearly all places."""

    def lab(rgb: np.ndarray) -> np.ndarray:
        image = pyvips.Image.new_from_array(np.clip(rgb, 0, 255).astype(np.float32)).copy(interpretation="srgb")
        return image.colourspace("lab").numpy()

    return np.linalg.norm(lab(a) - lab(b), axis=-1)
