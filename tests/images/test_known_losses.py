"""What is not carried over is said (docs/files.md, "Known losses"), and a file that loses nothing says nothing."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import file_samples as files
import image_samples as make
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from velatura.images import Delivery, encode, photoshop, prepared, read, xmp

IPTC = b"Photoshop 3.0\0" + photoshop.with_iptc(b"", b"\x1c\x02\x19\0\3sea")
XMP, XMP_MORE = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(*segments: tuple[int, bytes], behind: bytes = b"") -> bytes:
    data = files.file("jpeg", "rgb8")
    return data[:2] + b"".join(segment(*s) for s in segments) + data[2:] + behind


def extended(more: bytes) -> bytes:
    """An XMP packet and, in another segment, the part of it that had no room there."""
    digest = b"0123456789ABCDEF" * 2
    body = f'<rdf:Description rdf:about="" xmlns:n="{xmp.NOTE}" n:HasExtendedXMP="{digest.decode()}"/>'
    packet = xmp.EMPTY.replace(b"</rdf:RDF>", body.encode() + b"</rdf:RDF>")
    return jpeg((0xE1, XMP + packet), (0xE1, XMP_MORE + digest + struct.pack(">II", len(more), 0) + more))


def chunk(data: bytes, name: bytes, body: bytes) -> bytes:
    made = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return data[:33] + made + data[33:]


def png(**texts: str) -> bytes:
    info, out = PngInfo(), io.BytesIO()
    for word, text in texts.items():
        info.add_text(word.replace("_", " "), text)
    Image.fromarray(make.pixels("rgb8")).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def webp_with_credentials() -> bytes:
    data = files.file("webp", "rgb8") + b"C2PA" + struct.pack("<I", 4) + b"abcd"
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def of_300_dpi() -> bytes:
    out = io.BytesIO()
    Image.fromarray(make.pixels("rgb8")).save(out, "JPEG", dpi=(300, 300))
    return out.getvalue()


LOSSES: dict[str, tuple[Callable[[], bytes], dict[str, object], str]] = {
    "credentials, JPEG": (lambda: jpeg((0xEB, b"JP\0\1c2pa")), {}, "content credentials"),
    "credentials, PNG": (lambda: chunk(files.file("png", "rgb8"), b"caBX", b"c2pa"), {}, "content credentials"),
    "credentials, WebP": (webp_with_credentials, {}, "content credentials"),
    "MPO": (lambda: jpeg((0xE2, b"MPF\0" + bytes(20))), {}, "behind the picture"),
    "motion photo": (lambda: jpeg(behind=b"\0\0\0\x18ftypmp42" + bytes(200)), {}, "behind the picture"),
    "BigTIFF": (lambda: make.image("rgb8").tiffsave_buffer(bigtiff=True), {}, "EXIF, IPTC and XMP of a BigTIFF"),
    "damaged EXIF": (lambda: jpeg((0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")), {}, "EXIF, which is damaged"),
    "IPTC to PNG": (lambda: jpeg((0xED, IPTC)), {"format": "png"}, "IPTC, for which a png has no place"),
    "comment": (lambda: jpeg((0xFE, b"hello")), {"format": "png"}, "a comment that only a JPEG holds"),
    "texts": (lambda: png(Title="Sea"), {"format": "jpeg"}, "texts that only a PNG holds (Title)"),
    "texts with IPTC": (lambda: png(Raw_profile_type_iptc="\n"), {"strip_gps": True}, "texts that may hold a place"),
    "extended XMP": (lambda: extended(b"<a/>"), {"format": "png"}, "extended XMP that only a JPEG holds"),
    "place in XMP": (lambda: extended(b"<exif:GPSLatitude/>"), {"strip_gps": True}, "which may hold a place"),
    "picture in XMP": (lambda: extended(b'<a GImage:Data="/9j/"/>'), {}, "a copy of the unprotected picture"),
    "resolution": (of_300_dpi, {"format": "webp"}, "the resolution (300 dpi)"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_said_once_and_the_picture_is_whole(name):
    made, wishes, said = LOSSES[name]
    artwork = prepared(read(made()), Delivery(**wishes))
    assert len([note for note in artwork.notes if note.startswith("left out: ") and said in note]) == 1
    again = read(encode(artwork, artwork.image))
    assert (again.width, again.height) == (make.WIDTH, make.HEIGHT)
    assert not [note for note in again.notes if said in note and "BigTIFF" not in note]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "webp-lossy", "tiff", "avif"])
def test_nothing_is_said_where_nothing_is_lost(kind):
    assert read(files.file(kind, "rgb8", "p3")).notes == ()
    assert read(jpeg((0xE1, XMP + xmp.EMPTY), (0xFE, b"hello"), (0xED, IPTC), behind=bytes(9))).notes == ()


def test_extended_xmp_stays_where_it_may_and_its_note_goes_with_it():
    kept = encode(artwork := read(extended(b"<a/>")), artwork.image)
    assert XMP_MORE + b"0123456789ABCDEF" in kept
    assert b"HasExtendedXMP" in kept
    for wishes in ({"format": "png"}, {"strip_gps": True}):
        artwork = prepared(read(extended(b"<a/>")), Delivery(**wishes))
        data = encode(artwork, artwork.image)
        assert XMP_MORE not in data
        assert b"HasExtendedXMP" not in data


@pytest.mark.parametrize("old", ["png", "jpeg", "tiff"])
@pytest.mark.parametrize("new", ["png", "jpeg", "tiff"])
def test_resolution_moves_to_another_format(old, new):
    out = io.BytesIO()
    Image.fromarray(make.pixels("rgb8")).save(out, old.upper(), dpi=(300, 300))
    artwork = prepared(read(out.getvalue()), Delivery(format=new))
    assert make.pillow(encode(artwork, artwork.image)).info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("old", ["png", "webp"])
def test_no_resolution_is_made_up(old):
    out = io.BytesIO()
    Image.fromarray(make.pixels("rgb8")).save(out, old.upper())
    artwork = prepared(read(out.getvalue()), Delivery(format="png"))
    assert "dpi" not in make.pillow(encode(artwork, artwork.image)).info
