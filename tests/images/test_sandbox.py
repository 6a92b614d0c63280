"""Files that were made to do harm: one clear line, and the process that reads them is the only one that dies."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import file_samples as files
import image_samples as make
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from velatura.errors import ImageError
from velatura.images import encode, read, read_guarded, sandbox
from velatura.images.metadata.containers import sniff

KINDS = ["png", "jpeg", "webp", "tiff", "avif"]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bomb(width: int, height: int, lines: int = 0) -> bytes:
    """A PNG that says it is large, with a few of its lines."""
    head = chunk(b"IHDR", struct.pack(">II5B", width, height, 8, 2, 0, 0, 0))
    pixels = zlib.compress(bytes(lines * (3 * width + 1)))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """XMP of 80 MB in 80 kB."""
    data = make.encoded("png", make.image("rgb8"))
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(80 << 20))
    return data[:33] + chunk(b"iTXt", body) + data[33:]


def loop_tiff() -> bytes:
    """Directories that follow each other in a circle, and an entry that claims four gigabytes."""
    entry = struct.pack("<HHII", 270, 2, 0xFFFFFFFF, 8)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 8)


HOSTILE = {
    "huge.png": (bomb(60000, 60000), "3600 megapixels"),
    "bomb.png": (bomb(16000, 16000, 10), "damaged or cut short"),
    "text.png": (text_bomb(), "64 MB of metadata"),
    "loop.tif": (loop_tiff(), "damaged or cut short"),
    "zeros.png": (bytes(1000), "not a picture"),
    "zero.png": (b"", "is empty"),
    "one.jpg": (b"\xff", "not a picture"),
    "magic.jpg": (b"\xff\xd8\xff", "damaged or cut short"),
    "magic.tif": (b"II*\0", "damaged or cut short"),
    "magic.webp": (b"RIFF\0\0\0\0WEBP", "damaged or cut short"),
    "magic.gif": (b"GIF89a", "damaged or cut short"),
    "script.png": (b"#!/bin/sh\necho hello\n", "not a picture"),
    "page.jpg": (b"<html><body>404</body></html>", "not a picture"),
    "archive.png": (b"PK\3\4" + bytes(50), "archive"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_one_line(name, tmp_path):
    data, said = HOSTILE[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError) as error:
        read(tmp_path / name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "; " in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize("name", ["bomb.png", "text.png", "zero.png"])
def test_the_limited_process_says_the_same(name, tmp_path):
    (tmp_path / name).write_bytes(HOSTILE[name][0])
    with pytest.raises(ImageError) as error:
        read_guarded(tmp_path / name)
    with pytest.raises(ImageError) as plain:
        read(tmp_path / name)
    # In brackets libvips' own words, which depend on which of its threads came first.
    assert str(error.value).partition(" (")[0] == str(plain.value).partition(" (")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_picture_comes_out_of_the_limited_process(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(files.file(kind, "rgb8", "p3"))
    plain, limited = read(path), read_guarded(path)
    assert np.array_equal(plain.image.numpy(), limited.image.numpy())
    for name in plain.__dataclass_fields__:
        if name != "image":
            assert getattr(plain, name) == getattr(limited, name), name
    assert encode(limited, limited.image) == encode(plain, plain.image)


def test_bytes_and_deep_pictures_as_well():
    data = files.file("tiff", "rgba16", "adobe")
    plain, limited = read(data), read_guarded(data)
    assert np.array_equal(plain.image.numpy(), limited.image.numpy())
    assert (limited.bits, limited.alpha, limited.image.interpretation) == (16, True, "rgb16")


def test_a_decoder_that_dies_costs_one_line(tmp_path, monkeypatch):
    (tmp_path / "velatura").mkdir()
    _child(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", monkeypatch)
    with pytest.raises(ImageError, match=r"^the picture: its decoder died \(signal 11\).*; export it again$"):
        read_guarded(b"x")


def test_a_decoder_that_hangs_costs_one_line(tmp_path, monkeypatch):
    _child(tmp_path, "import time; time.sleep(60)", monkeypatch)
    monkeypatch.setattr(sandbox, "SECONDS", 1)
    with pytest.raises(ImageError, match="takes more than 1 s to decode"):
        read_guarded(b"x")


def test_a_decoder_that_says_nonsense_costs_one_line(tmp_path, monkeypatch):
    _child(tmp_path, "print('hello')", monkeypatch)
    with pytest.raises(ImageError, match="its decoder died"):
        read_guarded(b"x")


def test_nothing_out_of_the_current_folder_is_run(tmp_path, monkeypatch):
    (tmp_path / "base64.py").write_text("raise SystemExit('hello')\n")
    monkeypatch.chdir(tmp_path)
    assert read_guarded(files.file("png", "rgb8")).width == make.WIDTH


def _child(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program in the place of Python."""
    program = folder / "python"
    program.write_text(f"#!{os.sys.executable}\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sandbox.sys, "executable", str(program))


@pytest.mark.skipif(os.name == "nt", reason="no limit of address space on Windows")
def test_memory_is_limited(tmp_path, monkeypatch):
    """With little memory, a large picture's process dies of it, and ours goes on."""
    path = tmp_path / "large.png"
    Image.new("RGB", (9000, 9000)).save(path, compress_level=1)
    code = "import sys; from velatura.images import sandbox_process as p; p.MEMORY = 700 << 20; p.main(sys.argv[4:])"
    _child(tmp_path, code, monkeypatch)
    with pytest.raises(ImageError, match=r"large\.png: (its decoder died|cannot be decoded)"):
        read_guarded(path)


def test_no_temporary_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))
    artwork = read_guarded(files.file("png", "rgb8"))
    assert list(tmp_path.iterdir()) == []
    assert artwork.image.avg() > 0


def test_a_thumbnail_of_the_unprotected_picture_is_dropped_everywhere():
    thumbnail = make.encoded("jpeg", make.image("grey8"))
    resource = b"8BIM" + struct.pack(">HHI", 0x040C, 0, len(thumbnail)) + thumbnail + bytes(len(thumbnail) & 1)
    data = make.encoded("jpeg", make.image("rgb8"))
    body = b"Photoshop 3.0\0" + resource
    data = data[:2] + struct.pack(">HH", 0xFFED, len(body) + 2) + body + data[2:]
    assert data.count(b"\xff\xd8\xff") == 2
    artwork = read(data)
    assert encode(artwork, artwork.image).count(b"\xff\xd8\xff") == 1


def test_every_text_of_a_png_is_kept_byte_by_byte():
    info = PngInfo()
    info.add_text("Title", "Latin: é")
    info.add_itxt("Titel", "Überall: 海", lang="de", zip=True)
    info.add_text("Comment", "long" * 99, zip=True)
    out = io.BytesIO()
    Image.fromarray(make.pixels("rgb8")).save(out, "PNG", pnginfo=info)
    artwork = read(out.getvalue())
    seen = make.pillow(encode(artwork, artwork.image)).text
    assert dict(seen) == {"Title": "Latin: é", "Titel": "Überall: 海", "Comment": "long" * 99}


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1", "avif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0heicmif1", "heic"),
        (b"\0\0\0\x1cftypheix\0\0\0\0heicmif1", "heic"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1miaf", "avif"),
    ],
)
def test_kinds_of_iso_media(head, format):
    assert sniff(head) == format
