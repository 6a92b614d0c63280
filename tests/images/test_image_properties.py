"""What holds for any sizes, pixels and metadata: resampling, blending, and the merge of metadata."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
import pyvips
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from velatura.images import apply, metadata, read, resize_delta, working, working_size
from velatura.images.contract import check_pictures
from velatura.images.metadata import exif, photoshop, xmp
from velatura.images.metadata.containers import Metadata

few = settings(max_examples=40, deadline=None)
side = st.integers(1, 150)
seeds = st.integers(0, 2**32 - 1)


def random_delta(seed: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.manual_seed(seed)) * 0.4 - 0.2


@few
@given(side, side, side, side, st.floats(-1, 1))
def test_an_even_delta_stays_even_at_any_size(h, w, height, width, value):
    made = resize_delta(torch.full((1, 3, h, w), value), width, height)
    assert (made.width, made.height, made.bands) == (width, height, 3)
    assert np.abs(made.numpy() - value).max() < 1e-4


@few
@given(side, side, side, side, seeds)
def test_resampling_is_linear_and_overshoots_little(h, w, height, width, seed):
    one, two = random_delta(seed, h, w), random_delta(seed // 2 + 1, h, w)
    made, other, both = (resize_delta(d, width, height).numpy() for d in (one, two, one + two))
    assert np.abs(made + other - both).max() < 1e-4
    assert np.abs(made).max() <= 3 * float(one.abs().max())


def picture(seed: int, height: int, width: int, bands: int, deep: bool) -> pyvips.Image:
    """Any pixels; of alpha, a third none and a third all."""
    chance, top = np.random.default_rng(seed), 65535 if deep else 255
    array = chance.integers(0, top + 1, (height, width, bands), np.uint16 if deep else np.uint8)
    if bands in (2, 4):
        array[..., -1] = chance.choice(np.array([0, top, 7 * top // 10], array.dtype), (height, width))
    kind = ("grey16" if deep else "b-w") if bands < 3 else ("rgb16" if deep else "srgb")
    return pyvips.Image.new_from_array(array).copy(interpretation=kind)


@few
@given(seeds, side, side, st.integers(1, 4), st.booleans(), st.sampled_from([16, 40, 64]))
def test_the_model_always_gets_the_contract(seed, height, width, bands, deep, short):
    seen = check_pictures(working(picture(seed, height, width, bands, deep), short))
    assert tuple(seen.shape[:1:-1]) == working_size(width, height, short)


@few
@given(seeds, st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.booleans(), seeds)
def test_blending_adds_delta_and_touches_nothing_else(seed, height, width, bands, deep, other):
    image = picture(seed, height, width, bands, deep)
    artwork = read(image.pngsave_buffer(compression=0))
    delta = random_delta(other, height, width)
    before, after = (np.atleast_3d(i.numpy()).astype(np.float64) for i in (artwork.image, apply(artwork, delta)))
    colours, top = bands - (bands % 2 == 0), 65535 if deep else 255
    added = delta[0].permute(1, 2, 0).numpy().astype(np.float64)
    added = added.mean(-1, keepdims=True) if colours == 1 else added
    expected = np.clip(before[..., :colours] + added * top, 0, top)
    if bands in (2, 4):
        assert np.array_equal(before[..., -1], after[..., -1])
        expected = np.where(before[..., -1:] == 0, before[..., :colours], expected)
    assert np.abs(after[..., :colours] - expected).max() <= 0.51
    assert np.array_equal(apply(artwork, torch.zeros(1, 3, 8, 8)).numpy(), artwork.image.numpy())


names = st.text("abcXYZ", min_size=1, max_size=5)
words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@st.composite
def descriptions(draw) -> Metadata:
    """EXIF in either byte order with a place, XMP with any properties, an IPTC record: each there or not."""
    order = draw(st.sampled_from("<>"))
    tags = tuple(exif.Value(0x9C00 + i, 2, 6, b"value\0") for i in range(draw(st.integers(0, 9))))
    place = exif.Value(exif.GPS, 4, 1, b"", (exif.Value(2, 5, 1, struct.pack(order + "2I", 52, 1)),))
    turned = exif.Value(exif.ORIENTATION, 3, 1, struct.pack(order + "H", draw(st.integers(1, 8))))
    inside = "".join(
        f"<me:{name}>{xmp.escape(text)}</me:{name}>" for name, text in draw(st.dictionaries(names, words)).items()
    )
    inside += "<exif:GPSLatitude>52,30N</exif:GPSLatitude>" if draw(st.booleans()) else ""
    body = f'<rdf:Description rdf:about="" xmlns:me="urn:me" xmlns:exif="{xmp.EXIF}">{inside}</rdf:Description>'
    packet = xmp.EMPTY.replace(b"</rdf:RDF>", body.encode() + b"</rdf:RDF>")
    return Metadata(
        exif=draw(st.sampled_from([b"", exif.block_of((*tags, place, turned), order)])),
        xmp=draw(st.sampled_from([b"", packet])),
        photoshop=photoshop.with_iptc(b"", draw(st.sampled_from([b"", b"\x1c\x02\x19\0\3sea"]))),
    )


CHANGES = {
    "renewed": metadata.renewed,
    "without_gps": metadata.without_gps,
    "bare": metadata.bare,
    "resized": lambda kept: metadata.resized(kept, 30, 20),
    "marked": lambda kept: metadata.marked(kept, do_not_train=True, rights="Ada & <Sons>"),
}


@settings(max_examples=80, deadline=None)
@given(descriptions(), st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=5))
def test_changes_of_metadata_in_any_order(kept, changes):
    """Each, made twice, changes nothing more; a mark stays single; a place that is gone stays gone."""
    for name in changes:
        kept = CHANGES[name](kept)
        assert CHANGES[name](kept) == kept
    last = {name: len(changes) - 1 - changes[::-1].index(name) for name in changes}
    if "marked" in last and last["marked"] > last.get("bare", -1):
        assert [p.text for p in xmp.properties(kept.xmp) if p.name == "DataMining"] == [xmp.DO_NOT_TRAIN]
        assert xmp.value(kept.xmp, xmp.DC, "rights") == "Ada & <Sons>"
    if "without_gps" in last:
        assert not metadata.summary(kept)["gps"]
    if "bare" not in last and photoshop.iptc(kept.photoshop):
        assert photoshop.iptc(kept.photoshop) == b"\x1c\x02\x19\0\3sea"


@few
@given(descriptions(), st.sampled_from(["png", "jpeg", "webp", "tiff", "avif"]))
def test_what_moves_to_another_format_is_all_there_or_named(kept, new):
    moved = metadata.moved(kept, "jpeg", new)
    assert (moved.exif, moved.xmp) == (kept.exif, kept.xmp)
    record = photoshop.iptc(kept.photoshop)
    there = moved.iptc or photoshop.iptc(moved.photoshop)
    assert (there == record) != any("IPTC" in what for what in moved.lost)


@pytest.mark.parametrize("cut", range(8, 60, 3))
def test_exif_that_is_cut_short_keeps_its_length(cut):
    """Found by fuzzing: without the link behind its entries, taking the place out used to shorten the block."""
    place = exif.Value(exif.GPS, 4, 1, b"", (exif.Value(2, 5, 1, struct.pack("<2I", 52, 1)),))
    block = exif.block_of((exif.Value(0x9C00, 3, 1, b"\1\0"), place), "<")[:cut]
    try:
        assert len(exif.renewed(block, gps=False)) == len(block)
    except (exif.Damaged, struct.error):
        assert replace(metadata.without_gps(Metadata(exif=block)), lost=()) == Metadata()


def test_a_bigtiff_that_points_beyond_all_memory_is_damaged_not_a_traceback():
    """Found by fuzzing: its offsets are 64 bits wide."""
    from velatura.errors import ImageError

    with pytest.raises(ImageError, match="damaged or cut short"):
        read(b"II+\0\x08\0\0\0" + b"\xff" * 40)
