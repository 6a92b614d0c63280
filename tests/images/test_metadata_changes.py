"""What is changed in metadata on wish, and that nothing else is; exiftool reads what was written."""

from __future__ import annotations

import io
import struct
from contextlib import suppress

import file_samples as files
import image_samples as make
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from velatura.errors import ImageError, InputError
from velatura.images import Delivery, encode, prepared, read
from velatura.images.metadata import exif, iptc, xmp

KINDS = ["png", "jpeg", "webp", "tiff", "avif"]
WORDS = {"do_not_train": True, "rights": "© Ada & <Sons>, all rights reserved"}


def delivered(data: bytes, **wishes) -> bytes:
    artwork = prepared(read(data), Delivery(**wishes))
    return encode(artwork, artwork.image)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory) -> dict[str, bytes]:
    """One file of each kind with EXIF, GPS, IPTC and XMP."""
    folder = tmp_path_factory.mktemp("tagged")
    for kind in KINDS:
        (folder / f"a.{kind}").write_bytes(files.file(kind, "rgb8", "p3"))
        files.tag(folder / f"a.{kind}")
    return {kind: (folder / f"a.{kind}").read_bytes() for kind in KINDS}


def read_tags(data: bytes, path) -> dict:
    path.write_bytes(data)
    return files.tags(path)


@files.needs_exiftool
@pytest.mark.parametrize("kind", KINDS)
def test_no_place_is_left_and_all_else_is(kind, tagged, tmp_path):
    before = read_tags(tagged[kind], tmp_path / f"a.{kind}")
    after = read_tags(delivered(tagged[kind], strip_gps=True), tmp_path / f"b.{kind}")
    places = {key for key in before if "GPS" in key}
    assert places
    assert not {key for key in after if "GPS" in key}
    lost = {key for key in set(before) - set(after) if "GPS" not in key}
    # A PNG's IPTC is in a text that can hold a place as well; IFD0's size of EXIF is not to be had without it.
    assert {key.partition(":")[0] for key in lost} <= ({"IPTC"} if kind == "png" else set())
    assert {k for k in after if after[k] != before.get(k)} == set()


PLACES = {
    "IPTC:City": "Paris", "IPTC:Sub-location": "Montmartre", "IPTC:Country-PrimaryLocationName": "France",
    "XMP-photoshop:City": "Paris", "XMP-iptcCore:Location": "Montmartre", "XMP-iptcExt:LocationShownCity": "Paris",
    "XMP-iptcExt:LocationCreatedGPSLatitude": "48.9", "XMP-drone-dji:GPSLatitude": "48.9",
    "XMP-dc:Title": "Sea", "IPTC:Headline": "A sea", "EXIF:GPSLatitude": "48.9", "Artist": "Ada",
}  # fmt: skip


@files.needs_exiftool
@pytest.mark.parametrize("kind", KINDS)
def test_names_of_the_place_go_as_well(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(files.file(kind, "rgb8"))
    files.tag(path, changes=PLACES)
    before = files.tags(path)
    assert any("Paris" in str(value) for value in before.values())
    after = read_tags(delivered(path.read_bytes(), strip_gps=True), path)
    assert not [key for key, value in after.items() if any(w in str(value) for w in ("Paris", "Montmartre", "France"))]
    assert not [key for key in after if "GPS" in key or "Location" in key]
    assert (after["IFD0:Artist"], after["XMP-dc:Title"]) == ("Ada", "Sea")
    if kind in ("jpeg", "tiff"):
        assert after["IPTC:Headline"] == "A sea"
        assert not read(path).metadata.iptc or b"Paris" not in read(path).metadata.iptc
    assert b"Paris" not in path.read_bytes()


def test_texts_of_a_png_that_imagemagick_made_of_a_place_go_as_well():
    info, out = PngInfo(), io.BytesIO()
    for word in ("exif:GPSLatitude", "Raw profile type exif", "Title"):
        info.add_text(word, "52/1")
    Image.fromarray(make.pixels("rgb8")).save(out, "PNG", pnginfo=info)
    assert make.pillow(delivered(out.getvalue(), strip_gps=True)).text == {"Title": "52/1"}


DATASETS = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from([5, 26, 27, 90, 92, 95, 100, 101, 120]), st.binary(max_size=9)),
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(DATASETS, st.booleans(), st.sampled_from([b"", b"\0", b"rest"]))
def test_places_go_out_of_a_record_and_nothing_else(sets, wide, rest):
    def dataset(row: tuple[int, int, bytes]) -> bytes:
        record, number, body = row
        size = struct.pack(">HI", 0x8004, len(body)) if wide else struct.pack(">H", len(body))
        return bytes([0x1C, record, number]) + size + body

    stay = [row for row in sets if row[0] != 2 or row[1] in (5, 120)]
    made = iptc.without_places(b"".join(map(dataset, sets)) + rest)
    untouched = stay == sets and rest != b"rest"
    assert made == b"".join(map(dataset, stay)) + (rest if untouched else b"")
    assert iptc.without_places(made) == made


@files.needs_exiftool
@pytest.mark.parametrize("kind", KINDS)
def test_all_is_left_out_but_the_profile(kind, tagged, tmp_path):
    after = read_tags(delivered(tagged[kind], strip_all=True), tmp_path / f"a.{kind}")
    groups = {key.partition(":")[0] for key in after}
    assert not groups & {"ExifIFD", "GPS", "IPTC", "XMP-dc", "XMP-exif"}
    assert b"Ada" not in delivered(tagged[kind], strip_all=True)
    assert read(delivered(tagged[kind], strip_all=True)).icc == make.P3


@files.needs_exiftool
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tags_before", [True, False])
def test_reservations_are_merged_into_what_is_there(kind, tags_before, tagged, tmp_path):
    data = tagged[kind] if tags_before else files.file(kind, "rgb8")
    once = delivered(data, **WORDS)
    after = read_tags(once, tmp_path / f"a.{kind}")
    said = str(after["XMP-plus:DataMining"])  # older exiftools give the name, newer ones words
    assert "GENAIMLTRAINING" in said or "Prohibited for Generative AI/ML training" in said
    assert after["XMP-dc:Rights"] == WORDS["rights"]
    if tags_before:
        assert (after["XMP-dc:Title"], after["XMP-dc:Subject"]) == ("Sea", ["boats"])
    artwork = read(once)
    assert [p.text for p in xmp.properties(artwork.metadata.xmp) if p.name == "DataMining"] == [xmp.DO_NOT_TRAIN]
    assert read(delivered(once, **WORDS)).metadata.xmp == artwork.metadata.xmp  # not once more each time


@files.needs_exiftool
@pytest.mark.parametrize("new", ["png", "jpeg", "webp", "tiff", "avif"])
def test_metadata_moves_to_another_format_or_its_loss_is_said(new, tagged, tmp_path):
    for kind in KINDS:
        artwork = prepared(read(tagged[kind]), Delivery(format=new))
        after = read_tags(encode(artwork, artwork.image), tmp_path / f"a.{new}")
        assert after["IFD0:Artist"] == "Ada Løvelace"
        assert after["ExifIFD:DateTimeOriginal"] == "2024:05:06 07:08:09"
        assert after["XMP-dc:Title"] == "Sea"
        assert artwork.icc == make.P3
        if kind in ("jpeg", "tiff") and kind != new:
            said = any("IPTC" in note for note in artwork.notes)
            assert said or after["IPTC:By-line"] == "Ada"
            assert said == (new not in ("jpeg", "tiff"))


@files.needs_exiftool
def test_sizes_in_exif_follow_the_picture(tmp_path):
    path = tmp_path / "a.jpeg"
    path.write_bytes(files.file("jpeg", "rgb8"))
    files.tag(path, changes={"EXIF:ExifImageWidth": "120", "EXIF:ExifImageHeight": "80"})
    after = read_tags(delivered(path.read_bytes(), to="60"), path)
    assert (after["ExifIFD:ExifImageWidth"], after["ExifIFD:ExifImageHeight"]) == (60, 40)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_sizes_in_exif_turn_with_the_picture(orientation):
    """As every portrait of a telephone has them: of the sensor, not of the picture."""
    sizes = (exif.Value(exif.PIXEL_WIDTH, 4, 1, struct.pack("<I", 120)), exif.Value(exif.PIXEL_HEIGHT, 3, 1, b"\x50\0"))
    turned = exif.Value(exif.ORIENTATION, 3, 1, struct.pack("<H", orientation))
    block = exif.block_of((turned, exif.Value(exif.EXIF, 4, 1, b"", sizes)), "<")
    out = io.BytesIO()
    Image.fromarray(make.pixels("rgb8")).save(out, "JPEG", exif=b"Exif\0\0" + block)
    artwork = read(delivered(out.getvalue()))
    inside = Image.Exif()
    inside.load(b"Exif\0\0" + artwork.metadata.exif)
    below = inside.get_ifd(exif.EXIF)
    assert (below[exif.PIXEL_WIDTH], below[exif.PIXEL_HEIGHT]) == (artwork.width, artwork.height)


@pytest.mark.parametrize(
    ("mode", "kind", "format", "said"),
    [
        ("rgb16", "png", "jpeg", "8 bits a colour now, had 16"),
        ("rgb16", "tiff", "avif", "12 bits a colour now, had 16"),
        ("grey8", "png", "webp", "holds no grey"),
        ("grey16", "png", "webp", "holds no grey"),
    ],
)
def test_what_a_format_cannot_hold_is_said(mode, kind, format, said):
    artwork = prepared(read(files.file(kind, mode)), Delivery(format=format))
    assert any(said in note for note in artwork.notes)
    again = read(encode(artwork, artwork.image))
    assert (again.format, again.depth, again.grey) == (format, artwork.depth, artwork.grey)
    first = files.file(kind, mode)
    top = [255 if read(data).bits == 8 else 65535 for data in (first, encode(artwork, artwork.image))]
    colours = [read(first).image[0].avg() / top[0], again.image[0].avg() / top[1]]
    assert colours[0] == pytest.approx(colours[1], abs=0.01)


def test_transparency_is_never_lost_silently():
    with pytest.raises(ImageError, match=r"transparent in places.*--format png"):
        prepared(read(files.file("png", "rgba8")), Delivery(format="jpeg"))


@pytest.mark.parametrize(
    ("to", "size", "made"),
    [
        ("instagram", (2160, 4000), (1080, 2000)),
        ("x", (3000, 8192), (1500, 4096)),
        ("bluesky", (4000, 1000), (2000, 500)),
        ("artstation", (1000, 500), (1000, 500)),
        ("640", (1280, 641), (640, 320)),
        (None, (9, 9), (9, 9)),
        ("16", (20000, 1), (16, 1)),
    ],
)
def test_sizes_of_delivery(to, size, made):
    assert Delivery(to=to).size(*size) == made


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "myspace"},
        {"to": "5"},
        {"to": "-1"},
        {"quality": 0},
        {"format": "gif"},
        {"rights": " "},
        {"format": "png", "quality": 80},
    ],
)
def test_wrong_wishes_are_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        Delivery(**wrong)


def test_a_smaller_picture_has_no_fringes():
    """Hidden colour under transparency does not bleed in: that of the samples is far from the visible one."""
    import numpy as np
    import pyvips

    array = np.zeros((64, 64, 4), np.uint8)
    array[:, :32] = (255, 0, 0, 0)  # hidden red
    array[:, 32:] = (0, 0, 255, 255)
    data = pyvips.Image.new_from_array(array, interpretation="srgb").pngsave_buffer()
    small = prepared(read(data), Delivery(to="16")).image.numpy().astype(int)
    seen = small[small[..., 3] > 8]
    assert seen[:, 2].min() > 200
    assert seen[:, 0].max() < 60


PACKET = xmp.marked(b"", do_not_train=True, rights="Ada")


@pytest.mark.parametrize(
    "packet",
    [b"", xmp.EMPTY, PACKET, PACKET.replace(b"rdf:", b"r:").replace(b"xmlns:rdf", b"xmlns:r"), PACKET + bytes(9)],
)
def test_merge_of_packets(packet):
    made = xmp.marked(packet, do_not_train=True, rights="B")
    assert xmp.value(made, xmp.PLUS, "DataMining") == xmp.DO_NOT_TRAIN
    assert xmp.value(made, xmp.DC, "rights") == "B"
    assert len([p for p in xmp.properties(made) if p.name in ("rights", "DataMining")]) == 2


@pytest.mark.parametrize(
    "packet",
    [
        b"no xml",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"<a>" * 100,
        b"<a>" * 100 + b"</a>" * 100,
        b"<a/>",
        "<a>ü</a>".encode("utf-16"),
    ],
)
def test_damaged_packets_are_refused_not_changed(packet):
    with pytest.raises(xmp.Damaged):
        xmp.marked(packet, do_not_train=True, rights=None)


def test_long_packets_are_followed_in_one_go():
    """As Photoshop leaves them after years of pasting; were each text copied for all, it would take half an hour."""
    entries = "".join(f"<rdf:li>xmp.did:{i:08}</rdf:li>" for i in range(200_000))
    inside = f'<rdf:Description xmlns:p="{xmp.PHOTOSHOP}"><p:DocumentAncestors><rdf:Bag>{entries}</rdf:Bag>'
    inside += "</p:DocumentAncestors><p:City>Delft</p:City></rdf:Description></rdf:RDF>"
    packet = xmp.EMPTY.replace(b"</rdf:RDF>", inside.encode())
    ancestors, city = xmp.properties(packet)
    assert ancestors.text.startswith("xmp.did:00000000xmp.did:00000001")
    assert city.text == "Delft"


def described(attributes: str) -> bytes:
    spaces = f'xmlns:photoshop="{xmp.PHOTOSHOP}" xmlns:my="urn:my" xmlns:dc="{xmp.DC}"'
    return xmp.EMPTY.replace(b"</rdf:RDF>", f"<rdf:Description {spaces} {attributes}/></rdf:RDF>".encode())


@pytest.mark.parametrize(
    ("attributes", "left"),
    [
        ('photoshop:City="Orl&#233;ans" dc:title="Sea"', [("title", "Sea")]),
        ('photoshop:City="Orl&#xE9;ans"', []),
        ("photoshop:City='Orléans &amp;lt; Paris'", []),
        ('my:City="Delft" photoshop:City="Delft"', [("City", "Delft")]),
        ('dc:title=" photoshop:City=\'Delft\' " photoshop:City="Delft"', [("title", " photoshop:City='Delft' ")]),
        ('xmlns:ps="http://ns.adobe.com/photoshop/1.0/" ps:City="Delft" my:a="b"', [("a", "b")]),
    ],
)
def test_an_attribute_is_found_however_it_is_written(attributes, left):
    made = xmp.without_places(described(attributes))
    found = xmp.properties(made)
    assert [(p.name, p.text) for p in found] == left
    assert {p.space for p in found} <= {xmp.DC, "urn:my"}


@pytest.mark.parametrize("tag", [exif.EXIF, exif.GPS])
def test_an_empty_directory_costs_no_exif(tag):
    """As cameras leave them that found no satellite."""
    tiff = files.file("tiff", "rgb8")
    place = len(tiff) + len(tiff) % 2
    empty = exif.Value(tag, 4, 1, struct.pack("<I", place))
    data = exif.into_tiff(tiff.ljust(place + 6, b"\0"), (exif.Value(315, 2, 4, b"Ada\0"), empty), "<")
    artwork = read(data)
    assert artwork.notes == ()
    assert [value.tag for value in exif.values(artwork.metadata.exif)] == [315]


names = st.text("abcXYZ", min_size=1, max_size=6)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(names, texts, max_size=5),
    st.dictionaries(names, texts, max_size=5),
    st.text(max_size=30),
    st.booleans(),
)
def test_merge_keeps_every_other_property(attributes, elements, rights, train):
    from xml.sax.saxutils import escape, quoteattr

    inside = "".join(f" my:{name}={quoteattr(text)}" for name, text in attributes.items())
    below = "".join(f"<me:{name}>{escape(text)}</me:{name}>" for name, text in elements.items())
    body = f'<rdf:Description rdf:about="" xmlns:my="urn:my" xmlns:me="urn:me"{inside}>{below}</rdf:Description>'
    packet = xmp.EMPTY.replace(b"</rdf:RDF>", body.encode() + b"</rdf:RDF>")
    before = [(p.space, p.name, p.text) for p in xmp.properties(packet)]
    assert len(before) == len(attributes) + len(elements)
    made = xmp.marked(packet, do_not_train=train, rights=rights or None)
    after = [(p.space, p.name, p.text) for p in xmp.properties(made)]
    assert [row for row in after if row[0] in ("urn:my", "urn:me")] == before
    assert ((xmp.PLUS, "DataMining", xmp.DO_NOT_TRAIN) in after) == train
    gone = xmp.without(made, lambda p: p.space in (xmp.PLUS, xmp.DC))
    assert [(p.space, p.name, p.text) for p in xmp.properties(gone)] == before


def block(order: str, entries: int) -> bytes:
    values = tuple(exif.Value(0x9C00 + i, 2, 6, b"value\0") for i in range(entries))
    gps = exif.Value(exif.GPS, 4, 1, b"", (exif.Value(2, 5, 3, struct.pack(order + "6I", 52, 1, 31, 1, 0, 1)),))
    upside_down = exif.Value(exif.ORIENTATION, 3, 1, struct.pack(order + "H", 3))
    return exif.block_of((*values, gps, upside_down), order)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from("<>"), st.integers(0, 30), st.booleans())
def test_exif_is_changed_in_place(order, entries, gps):
    before = block(order, entries)
    after = exif.renewed(before, gps=gps)
    assert len(after) == len(before)
    found = {value.tag: value for value in exif.values(after)}
    assert struct.unpack(order + "H", found[exif.ORIENTATION].data) == (1,)
    assert (exif.GPS in found) == gps
    assert sum(value.data == b"value\0" for value in found.values()) == entries
    if not gps:
        assert struct.pack(order + "I", 52) + struct.pack(order + "I", 1) not in after


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]), st.booleans())
def test_any_bytes_are_exif_or_damaged(data, head, gps):
    with suppress(exif.Damaged, struct.error):
        exif.values(exif.renewed(head + data, gps=gps))
