"""Whatever is wrong with a file is said in one line: its name, what is wrong, what to do."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import image_samples as make
import numpy as np
import pytest
import pyvips
from PIL import Image

from velatura.errors import ImageError
from velatura.images import read
from velatura.images.formats import OTHER_SUFFIXES, SUFFIXES


def _save(path: Path, **options: str) -> None:
    make.pillow(make.encoded("png", make.image("rgb8"))).save(path, **options)


def _frames(path: Path, format: str) -> None:
    frames = [Image.fromarray(np.full((20, 30, 3), v, np.uint8)) for v in (10, 200)]
    frames[0].save(path, format, save_all=True, append_images=frames[1:])


def _float_tiff(path: Path) -> None:
    make.image("rgb8").cast("float").tiffsave(str(path))


def _cmyk(path: Path, format: str) -> None:
    make.pillow(make.encoded("png", make.image("rgb8"))).convert("CMYK").save(path, format)


def selection_tiff(mode: str = "rgba8", *, page: int = 1) -> bytes:
    """As Photoshop saves a selection: a channel more, of which it says that it is no transparency."""
    out, pictures = io.BytesIO(), [Image.fromarray(make.pixels(mode)) for _ in range(page)]
    pictures[0].save(out, "TIFF", save_all=True, append_images=pictures[1:])
    data = out.getvalue()
    at = data.rindex(struct.pack("<HHI", 338, 3, 1)) + 8
    return data[:at] + bytes(2) + data[at + 2 :]


def _truncated(format: str):
    def write(path: Path) -> None:
        data = make.encoded(format, make.image("rgb8"))
        path.write_bytes(data[: len(data) * 6 // 10])

    return write


def _corrupt_png(path: Path) -> None:
    data = bytearray(make.encoded("png", make.image("rgb8")))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def _huge_png(path: Path) -> None:
    data = b"\x89PNG\r\n\x1a\n"
    head = struct.pack(">II5B", 30000, 20000, 8, 2, 0, 0, 0)
    for chunk in (b"IHDR" + head, b"IDATx", b"IEND"):
        data += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data)


BAD = {
    "missing.png": (lambda p: None, "does not exist"),
    "folder.png": (lambda p: p.mkdir(), "is a folder"),
    "empty.png": (lambda p: p.touch(), "is empty"),
    "pipe.png": (os.mkfifo, "not a regular file"),
    "text.png": (lambda p: p.write_text("not a picture\n"), "not a picture"),
    "cut.png": (_truncated("png"), "damaged or cut short"),
    "cut.jpg": (_truncated("jpeg"), "damaged or cut short"),
    "cut.webp": (_truncated("webp"), "damaged or cut short"),
    "cut.tif": (_truncated("tiff"), "damaged or cut short"),
    "head.png": (lambda p: p.write_bytes(make.encoded("png", make.image("rgb8"))[:20]), "damaged or cut short"),
    "head.jpg": (lambda p: p.write_bytes(make.encoded("jpeg", make.image("rgb8"))[:20]), "damaged or cut short"),
    "head.webp": (lambda p: p.write_bytes(make.encoded("webp", make.image("rgb8"))[:20]), "damaged or cut short"),
    "head.tif": (lambda p: p.write_bytes(make.encoded("tiff", make.image("rgb8"))[:20]), "damaged or cut short"),
    "corrupt.png": (_corrupt_png, "damaged or cut short"),
    "film.gif": (lambda p: _frames(p, "GIF"), "animated GIF"),
    "film.avif": (lambda p: p.write_bytes(b"\0\0\0\x20ftypavis" + bytes(40)), "animated AVIF"),
    "film.mp4": (lambda p: p.write_bytes(b"\0\0\0\x20ftypisom" + bytes(40)), "a film"),
    "a.kra": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(40)), "painting program"),
    "a.bmp": (lambda p: _save(p, format="BMP"), "is a BMP"),
    "a.pdf": (lambda p: _save(p, format="PDF"), "is a PDF"),
    "a.psd": (lambda p: p.write_bytes(b"8BPS\0\1" + bytes(40)), "Photoshop"),
    "a.svg": (lambda p: p.write_text('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'), "SVG"),
    "a.avif": (lambda p: p.write_bytes(b"\0\0\0\x20ftypavif" + bytes(40)), "damaged or cut short"),
    "film.png": (lambda p: _frames(p, "PNG"), "animated PNG"),
    "film.webp": (lambda p: _frames(p, "WEBP"), "animated WebP"),
    "pages.tif": (lambda p: _frames(p, "TIFF"), "2 pages"),
    "cmyk.jpg": (lambda p: _cmyk(p, "JPEG"), "CMYK"),
    "cmyk.tif": (lambda p: _cmyk(p, "TIFF"), "CMYK"),
    "float.tif": (_float_tiff, "float"),
    "32bit.tif": (lambda p: make.image("rgb8").cast("uint").tiffsave(str(p)), "uint"),
    "lab.tif": (lambda p: make.image("rgb8").colourspace("labs").tiffsave(str(p)), ""),
    "five.tif": (lambda p: make.image("rgba8").bandjoin(7).tiffsave(str(p)), "channels"),
    "selection.tif": (lambda p: p.write_bytes(selection_tiff()), "without the saved selection"),
    "huge.png": (_huge_png, "600 megapixels"),
    "line\nbreak.png": (lambda p: p.write_text("no"), "not a picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused_in_one_line(name, tmp_path, capfd):
    make_it, said = BAD[name]
    path = tmp_path / name
    make_it(path)
    with pytest.raises(ImageError) as error:
        read(path)
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(str(path).replace("\n", "\\n") + ": ")
    assert said in line
    assert "; " in line  # what to do
    assert error.value.__cause__ is None
    assert capfd.readouterr() == ("", "")


def test_a_saved_selection_is_looked_for_on_the_page_that_is_read():
    data = selection_tiff(page=2)
    assert read(data, page=1).alpha
    with pytest.raises(ImageError, match="saved selection"):
        read(data, page=2)


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind on Windows")
def test_unreadable_file(locked_out):
    path = locked_out / "secret.png"
    path.write_bytes(make.encoded("png", make.image("rgb8")))
    path.chmod(0)
    with pytest.raises(ImageError, match=r"secret\.png: Permission denied"):
        read(path)


def test_bad_bytes_are_refused_too():
    with pytest.raises(ImageError, match=r"^the picture: is empty; "):
        read(b"")
    with pytest.raises(ImageError, match=r"^the picture: cannot be decoded"):
        read(make.encoded("jpeg", make.image("rgb8"))[:900])


def test_content_decides_not_the_extension(tmp_path):
    path = tmp_path / "painting.png"
    path.write_bytes(make.encoded("jpeg", make.image("rgb8")))
    assert read(path).format == "jpeg"


def test_a_file_that_changed_is_read_anew(tmp_path):
    path = tmp_path / "painting.png"
    for mode, grey in (("rgb8", False), ("grey8", True)):
        path.write_bytes(make.encoded("png", make.image(mode)))
        artwork = read(path)
        assert (artwork.grey, artwork.path, artwork.source_bytes) == (grey, path, path.stat().st_size)


def test_names_need_not_be_utf8(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 [x=1].png"))
    try:
        path.write_bytes(make.encoded("png", make.image("rgb8")))
    except OSError:
        pytest.skip("the file system wants UTF-8")
    assert read(path).width == make.WIDTH
    read(path).name.encode()


def test_pictures_in_a_folder_are_read_or_named():
    assert not SUFFIXES & OTHER_SUFFIXES
    assert ".hif" in SUFFIXES
    assert {".pdf", ".exr", ".hdr", ".j2k", ".psd", ".kra", ".procreate", ".mp4", ".mov"} <= OTHER_SUFFIXES


def test_libvips_keeps_no_operations():
    assert pyvips.cache_get_max() == 0
