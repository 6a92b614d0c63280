"""What is not carried over is said (docs/files.md, "Known losses"), and a file that loses nothing says nothing."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import file_samples as files
import image_samples as make
import pytest
import pyvips
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from velatura.errors import ImageError
from velatura.images import Delivery, color, encode, prepared, read
from velatura.images.metadata import photoshop, xmp

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


SRGB = pyvips.Image.profile_load("srgb")
PREVIEW = b"\x1c\x02\xca\0\4\xff\xd8\xff\xd9"
XMP_TEXT = b"XML:com.adobe.xmp\0<x:xmpmeta> <xmp:Thumbnails>"


def raw(block: bytes) -> str:
    """As ImageMagick writes a block into a text."""
    return f"\niptc\n{len(block):8}\n{block.hex()}\n"


def two_texts() -> bytes:
    return chunk(png(Raw_profile_type_iptc=raw(b"")), b"tEXt", b"Raw profile type iptc\0" + raw(b"a").encode())


def pantry() -> bytes:
    """As Illustrator keeps what went into a picture: packets within the packet."""
    inside = (
        "<rdf:Bag><rdf:li><rdf:Description><xmp:Thumbnails>/9j/</xmp:Thumbnails></rdf:Description></rdf:li></rdf:Bag>"
    )
    spaces = f'xmlns:xmp="{xmp.THUMBNAILS}" xmlns:xmpMM="{xmp.THUMBNAILS}mm/" xmlns:dc="{xmp.DC}"'
    body = f'<rdf:Description {spaces} dc:format="a"><xmpMM:Pantry>{inside}</xmpMM:Pantry></rdf:Description>'
    return xmp.EMPTY.replace(b"</rdf:RDF>", body.encode() + b"</rdf:RDF>")


def profiled(mode: str, profile: bytes) -> bytes:
    """A JPEG by Pillow, which checks no profiles."""
    out = io.BytesIO()
    make.pillow(make.encoded("png", make.image(mode))).save(out, "JPEG", icc_profile=profile)
    return out.getvalue()


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
    "ImageMagick's EXIF": (lambda: png(Raw_profile_type_exif="\nexif\n"), {}, "(Raw profile type exif)"),
    "ImageMagick's APP1": (lambda: png(Raw_profile_type_APP1="\nAPP1\n"), {}, "(Raw profile type APP1)"),
    "ImageMagick's 8BIM": (lambda: png(Raw_profile_type_8bim="\n8bim\n"), {}, "(Raw profile type 8bim)"),
    "two of ImageMagick's": (two_texts, {"strip_gps": True}, "(Raw profile type iptc, Raw profile type iptc)"),
    "preview in IPTC of a PNG": (lambda: png(Raw_profile_type_iptc=raw(PREVIEW)), {}, "(Raw profile type iptc)"),
    "picture in a tEXt": (lambda: chunk(png(), b"tEXt", XMP_TEXT), {}, "(XML:com.adobe.xmp)"),
    "place in a tEXt": (lambda: chunk(png(), b"tEXt", XMP_TEXT[:30]), {"strip_gps": True}, "(XML:com.adobe.xmp)"),
    "picture in damaged XMP": (lambda: jpeg((0xE1, XMP + b"<a><xmp:Thumbnails>")), {}, "XMP, which is damaged and"),
    "picture deep in XMP": (lambda: jpeg((0xE1, XMP + pantry())), {}, "parts of XMP that hold a copy"),
    "profile of other colours": (lambda: profiled("grey8", SRGB), {}, "for another kind of colour"),
    "profile that is broken": (lambda: profiled("rgb8", b"rubbish"), {}, "a profile that is broken"),
    "HDR to JPEG": (lambda: chunk(png(), b"cICP", b"\11\20\0\1"), {"format": "jpeg"}, "only a PNG says it (cICP)"),
    "gamma to JPEG": (lambda: chunk(png(), b"gAMA", b"\0\1\0\0"), {"format": "jpeg"}, "only a PNG says it (gAMA)"),
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


def test_what_is_left_out_is_not_there_and_the_rest_is():
    assert xmp.value(read(jpeg((0xE1, XMP + pantry()))).metadata.xmp, xmp.DC, "format") == "a"
    assert b"Thumbnails" not in read(jpeg((0xE1, XMP + pantry()))).metadata.xmp
    google = (
        f'<rdf:Description xmlns:GImage="{xmp.GOOGLE_IMAGE}" GImage:Mime="image/jpeg" GImage:Data="/9j/"/></rdf:RDF>'
    )
    packet = xmp.EMPTY.replace(b"</rdf:RDF>", google.encode())
    assert [p.name for p in xmp.properties(read(jpeg((0xE1, XMP + packet))).metadata.xmp)] == ["Mime"]
    artwork = read(profiled("grey8", SRGB))
    assert artwork.icc is None
    assert read(encode(artwork, artwork.image)).notes == ()


@pytest.mark.parametrize("record", [PREVIEW, PREVIEW[:-2], b"\x1c\x02\x19\0\3sea" + PREVIEW])
def test_a_preview_in_iptc_is_left_out(record):
    data = jpeg((0xED, b"Photoshop 3.0\0" + photoshop.with_iptc(b"", record)))
    artwork = read(data)
    assert photoshop.iptc(artwork.metadata.photoshop) == record.partition(PREVIEW[:5])[0]
    assert encode(artwork, artwork.image).count(b"\xff\xd8\xff") == 1
    assert artwork.notes == ()


def test_iptc_of_a_png_stays_where_it_holds_no_copy():
    artwork = read(png(Raw_profile_type_iptc=raw(b"\x1c\x02\x19\0\3sea")))
    assert artwork.notes == ()
    assert "Raw profile type iptc" in make.pillow(encode(artwork, artwork.image)).text


@pytest.mark.parametrize(
    ("name", "body"),
    [(b"gAMA", struct.pack(">I", 45455)), (b"cICP", b"\1\15\0\1"), (b"sRGB", b"\0")],
)
def test_what_says_srgb_is_no_loss(name, body):
    assert prepared(read(chunk(png(), name, body)), Delivery(format="jpeg")).notes == ()


def numbered(format: str, primaries: int, transfer: int) -> bytes:
    """An AVIF or HEIC that names its colours by number; Pillow writes those of sRGB."""
    out = io.BytesIO()
    if format == "heif":
        pytest.importorskip("pillow_heif", reason="pillow-heif (extra heif) is not installed").register_heif_opener()
    Image.fromarray(make.pixels("rgb8")).save(out, format.upper(), quality=90)
    data = out.getvalue()
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">2H", primaries, transfer) + data[at + 4 :]


@pytest.mark.parametrize("format", ["avif", "heif"])
def test_colours_by_number_are_followed_or_refused(format):
    assert read(numbered(format, 1, 13)).icc is None
    wide = read(numbered(format, 12, 13))
    assert color.profile_name(wide.icc) == color.profile_name(make.P3)
    assert wide.notes == ()
    if format == "avif":
        assert read(encode(wide, wide.image)).icc == wide.icc
    with pytest.raises(ImageError, match=r"holds HDR without a profile \(nclx 9/16\); export it"):
        read(numbered(format, 9, 16))
    with pytest.raises(ImageError, match=r"other colours than sRGB without a profile \(nclx 9/14\)"):
        read(numbered(format, 9, 14))


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
