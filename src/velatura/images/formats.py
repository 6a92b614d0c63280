"""The picture formats: by which suffixes their files go, and what each of them can hold."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["png", "jpeg", "webp", "tiff", "avif", "gif", "heic"]
Written = Literal["png", "jpeg", "webp", "tiff", "avif"]
WRITTEN: tuple[Written, ...] = get_args(Written)

SUFFIXES_OF: dict[Format, tuple[str, ...]] = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "webp": (".webp",),
    "tiff": (".tif", ".tiff"),
    "avif": (".avif",),
    "gif": (".gif",),
    "heic": (".heic", ".heif"),
}
SUFFIXES = frozenset(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes)
# Pictures that are not read: named when a folder holds them, not passed over in silence.
OTHER_SUFFIXES = frozenset(
    {".bmp", ".psd", ".psb", ".svg", ".jxl", ".jp2", ".xcf", ".kra", ".ora", ".clip", ".procreate", ".afphoto"}
    | {".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
)
READ = "PNG, JPEG, WebP, TIFF, AVIF, GIF or HEIC"

MOST_BITS: dict[Written, int] = {"png": 16, "jpeg": 8, "webp": 8, "tiff": 16, "avif": 12}
NO_ALPHA: tuple[Written, ...] = ("jpeg",)
NO_GREY: tuple[Written, ...] = ("webp", "avif")
LOSSY: tuple[Written, ...] = ("jpeg", "webp", "avif")
