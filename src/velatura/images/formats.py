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
    "heic": (".heic", ".heif", ".hif"),
}
SUFFIXES = frozenset(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes)
# Pictures that are not read: named when a folder holds them, not passed over in silence.
OTHER_SUFFIXES = frozenset(
    {".bmp", ".psd", ".psb", ".svg", ".svgz", ".jxl", ".jp2", ".j2k", ".jpf", ".jpx", ".xcf", ".kra", ".ora", ".clip"}
    | {".procreate", ".afphoto", ".afdesign", ".ai", ".eps", ".pdf", ".exr", ".hdr", ".tga", ".ppm", ".avifs", ".heics"}
    | {".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".3fr"}
    | {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"}
)
READ = "PNG, JPEG, WebP, TIFF, AVIF, GIF or HEIC"

MOST_BITS: dict[Written, int] = {"png": 16, "jpeg": 8, "webp": 8, "tiff": 16, "avif": 12}
MOST_SIDE: dict[Written, int] = {"jpeg": 65500, "webp": 16383, "avif": 16384}  # pixels
NO_ALPHA: tuple[Written, ...] = ("jpeg",)
NO_GREY: tuple[Written, ...] = ("webp", "avif")
LOSSY: tuple[Written, ...] = ("jpeg", "webp", "avif")
