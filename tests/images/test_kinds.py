"""What kind of picture it is, told by pictures made by formula, each with a margin; and the small files in shared/."""

from __future__ import annotations

import dataclasses
import io
from functools import cache
from pathlib import Path

import image_samples as make
import numpy as np
import pytest
import torch
from PIL import Image

from velatura.images import read
from velatura.images.kinds import enlarged, growth, in_its_colours, kind, on_grid, shown_box, shrunk
from velatura.images.tones import KNOTS

CASES = Path(__file__).parents[3] / "shared" / "cases"
SIDE = 384
Y, X = np.mgrid[0:SIDE, 0:SIDE] / SIDE


def file(pixels: np.ndarray, format: str = "png", **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8)).save(out, format.upper(), **options)
    return out.getvalue()


def found(pixels: np.ndarray, format: str = "png", **options):
    return kind(read(file(pixels, format, **options)))


@cache
def strokes(count: int = 800, channels: int = 3, size: float = 0.03) -> np.ndarray:
    """Overlapping dabs of paint with grain: busy everywhere."""
    rng = np.random.default_rng(3)
    picture = np.full((SIDE, SIDE, channels), 128.0)
    for _ in range(count):
        y, x, angle = rng.random(3) * (1, 1, np.pi)
        along = (X - x) * np.cos(angle) + (Y - y) * np.sin(angle)
        across = (Y - y) * np.cos(angle) - (X - x) * np.sin(angle)
        picture[(abs(along) < 2 * size) & (abs(across) < size / 3)] = rng.integers(20, 235, channels)
    return picture + rng.normal(0, 5, picture.shape)


def smooth() -> np.ndarray:
    """Soft shading as in an airbrushed picture: even, but not flat."""
    waves = (128 + 100 * np.sin(2 * np.pi * (a * X + b * Y) + c) for a, b, c in ((1, 1, 0), (2, -1, 1), (1, 2, 2)))
    return np.stack(list(waves), -1)


def discs(colours: np.ndarray, ground) -> np.ndarray:
    """Flat discs with a dark outline, their edges soft by a pixel."""
    rng, picture = np.random.default_rng(5), np.ones((SIDE, SIDE, 3)) * ground
    for colour in colours:
        y, x, r = rng.random(3) * (0.8, 0.8, 0.12) + (0.1, 0.1, 0.06)
        distance = (np.hypot(X - x, Y - y) - r) * SIDE
        for edge, value in ((2.0, (20, 15, 25)), (-2.0, colour)):
            share = np.clip(edge + 0.5 - distance, 0, 1)[..., None]
            picture = picture * (1 - share) + np.asarray(value) * share
    return picture


def comic() -> np.ndarray:
    palette = np.array([(220, 60, 40), (40, 120, 210), (250, 210, 60), (90, 170, 80)])
    return discs(palette[[0, 1, 2, 3, 0, 1, 2, 3]], (235, 225, 205))


def ink() -> np.ndarray:
    """Outlines and hatching, black on white."""
    page = discs(np.full((8, 3), 255), 255)
    hatched = (np.sin(2 * np.pi * 40 * (X + Y)) > 0.3) & (np.hypot(X - 0.7, Y - 0.7) < 0.2)
    return np.where(hatched[..., None], 15, page)


def dots(period: float = 5, ground: float = 255) -> np.ndarray:
    """A page of which the half is screen tone."""
    u, v = (2 * np.pi * SIDE / period * w for w in ((X + Y) / 2**0.5, (X - Y) / 2**0.5))
    toned = (np.cos(u) + np.cos(v) > 0.6) & (Y > 0.4)
    return np.repeat(np.where(toned, 0, ground)[..., None], 3, -1)


def tinted(tone=(1.0, 0.82, 0.6)) -> np.ndarray:
    """Grey strokes, toned: white stays white and black black."""
    grey = np.repeat(strokes(channels=1), 3, -1).clip(0, 255) / 255
    return 255 * grey ** (1 / np.array(tone))


def sprite(side: int = 24, alpha: bool = True) -> np.ndarray:
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (9, 4 if alpha else 3)).astype(np.uint8)
    if alpha:
        colours[:, 3] = np.where(np.arange(9) < 3, 0, 255)
    return colours[rng.integers(0, 9, (side, side))]


def repeated(pixels: np.ndarray, factor: int) -> np.ndarray:
    return pixels.repeat(factor, 0).repeat(factor, 1)


NAMED = [
    ("strokes", strokes, "colour picture", False),
    ("shading", smooth, "colour picture", False),
    ("grey strokes", lambda: np.repeat(strokes(channels=1), 3, -1), "grey picture", False),
    ("grey shading", lambda: np.repeat(smooth()[..., :1], 3, -1), "grey picture", False),
    ("sepia", tinted, "one hue", False),
    ("blueprint", lambda: tinted((0.5, 0.75, 1.0)), "one hue", False),
    ("comic", comic, "flat colour", True),
    ("ink", ink, "line art", True),
    ("ink on yellow paper", lambda: ink() * (1, 0.95, 0.8), "line art", True),
    ("screen tone", dots, "screen tone", True),
    ("coarse screen tone", lambda: dots(11), "screen tone", True),
]


@pytest.mark.parametrize(("picture", "name", "flat"), [row[1:] for row in NAMED], ids=[row[0] for row in NAMED])
@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_what_a_picture_is_called_and_whether_its_areas_are_flat(picture, name, flat, format) -> None:
    seen = found(picture(), format, **({"quality": 80} if format == "jpeg" else {}))

    assert (seen.name, seen.flat) == (name, flat)
    assert seen.nothing is None


def test_a_painting_amid_white_paper_is_not_flat_colour() -> None:
    inside = np.hypot(X - 0.5, Y - 0.5) < 0.3
    assert not found(np.where(inside[..., None], strokes(), 255)).flat


def test_a_large_picture_is_what_it_is_small() -> None:
    large = found(repeated(comic(), 6)[1:-1, 1:-1] + np.random.default_rng(0).integers(0, 2, (SIDE * 6 - 2, 1, 1)))
    assert (large.name, large.grid) == ("flat colour", None)


@pytest.mark.parametrize("mode", ["grey8", "grey16", "greya8", "grey8-g18"])
def test_grey_files_are_grey(mode) -> None:
    assert kind(make.artwork("png", mode)).grey


@pytest.mark.parametrize("mode", ["rgb8", "rgb16", "rgba8", "rgb8-p3", "rgba8-p3"])
def test_colour_files_are_not(mode) -> None:
    assert not kind(make.artwork("png", mode)).grey


@pytest.mark.parametrize(("format", "options"), [("jpeg", {"quality": 75}), ("jpeg", {"quality": 50}), ("webp", {})])
def test_grey_saved_as_colour_is_grey(format, options) -> None:
    noise = np.random.default_rng(0).integers(-1, 2, (SIDE, SIDE, 3))  # as a detour through another colour space leaves
    assert found(np.repeat(strokes(channels=1), 3, -1) + noise, format, **options).grey


def test_hidden_colours_do_not_make_a_picture_coloured() -> None:
    hidden = np.where(X[..., None] < 0.5, (255, 0, 0), strokes(channels=1))
    alpha = np.where(X < 0.5, 0, 255)[..., None]
    seen = found(np.concatenate([hidden, alpha], -1))

    assert seen.grey
    assert seen.transparent


def test_a_faint_tint_and_a_red_stamp_are_not_grey() -> None:
    grey = np.repeat(strokes(channels=1), 3, -1).clip(20, 235)
    stamp = np.where((np.hypot(X - 0.8, Y - 0.8) < 0.03)[..., None], (200, 30, 30), grey)

    assert not found(grey + np.array((4, 0, -6)), "jpeg", quality=75).grey
    assert not found(stamp).grey
    assert found(stamp).tones is None


def test_one_hue_keeps_its_colours() -> None:
    seen = found(tinted(), "jpeg", quality=85)
    picture = torch.from_numpy(tinted()[None].transpose(0, 3, 1, 2) / 255).float().clamp(0, 1)
    delta = 0.08 * torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    wanted = (delta * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)

    moved = in_its_colours(seen, picture, delta)

    def off(x: torch.Tensor) -> float:  # from the curve that the picture was made with
        grey = x[:, :1].clamp(0, 1)
        away = x - torch.cat([grey ** (1 / tone) for tone in (1.0, 0.82, 0.6)], 1)
        return float(away.abs().mean())

    assert seen.tones is not None
    assert len(seen.tones) == KNOTS
    assert seen.tones[0] == (0, 0, 0)
    assert seen.tones[-1] == (1, 1, 1)
    assert off((picture + moved).clamp(0, 1)) < 0.15 * off((picture + delta).clamp(0, 1))
    change = (moved * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
    inside = (picture.amin(1) > 0.25) & (picture.amax(1) < 0.75)
    assert float((change - wanted)[inside].abs().mean()) < 0.005  # as strong as it was


def test_colours_of_other_kinds() -> None:
    grey, colour = found(np.repeat(strokes(channels=1), 3, -1)), found(strokes())
    picture, delta = torch.rand(2, 3, 8, 8), torch.randn(2, 3, 8, 8, requires_grad=True)

    moved = in_its_colours(grey, picture, delta)
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert torch.equal(moved[:, 0], moved[:, 2])
    assert in_its_colours(grey, picture, delta[:, :1]).shape == (2, 3, 8, 8)
    assert in_its_colours(colour, picture, delta) is delta


def test_gradients_pass_through_the_line_of_tones() -> None:
    seen, picture = found(tinted()), torch.rand(1, 3, 8, 8) * 0.6 + 0.2
    delta = torch.zeros(1, 1, 8, 8, requires_grad=True)

    (slope,) = torch.autograd.grad(in_its_colours(seen, picture, delta).sum(), delta)

    assert float(slope.min()) > 0.5


@pytest.mark.parametrize("factor", [2, 3, 10])
@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_sprite_goes_to_its_own_grid_and_back(factor, cut, alpha) -> None:
    small = sprite(alpha=alpha)
    large = repeated(small, factor)[: -cut or None, : -cut or None]
    artwork = read(file(large))

    seen = kind(artwork)
    own = shrunk(artwork, seen)

    assert (seen.name, seen.grid, seen.transparent) == ("pixel art", factor, alpha)
    assert seen.colours is not None
    assert seen.colours <= 9
    assert (own.width, own.height) == (24, 24)
    assert np.array_equal(own.image.numpy(), small)
    assert np.array_equal(on_grid(artwork.image, factor).numpy(), small)
    assert np.array_equal(enlarged(own.image, artwork, seen).numpy(), large)


def test_sixteen_bits_have_a_grid_too() -> None:
    picture = make.image("rgb16").zoom(3, 3)
    artwork = read(make.encoded("png", picture))
    seen = kind(artwork)

    assert seen.grid == 3
    assert np.array_equal(enlarged(shrunk(artwork, seen).image, artwork, seen).numpy(), picture.numpy())


def test_one_pixel_that_is_out_of_line_is_no_grid() -> None:
    pixels = repeated(sprite(), 4)
    pixels[41, 57] = 255 - pixels[41, 57]
    assert found(pixels).grid is None


def test_a_doubled_photograph_has_a_grid_and_is_no_pixel_art() -> None:
    seen = found(repeated(strokes(), 2))
    assert (seen.grid, seen.name, seen.colours) == (2, "colour picture", None)


def test_no_grid_where_there_is_none() -> None:
    rectangle = np.full((200, 200, 3), 240)
    rectangle[40:120, 80:160] = 10
    artwork = make.artwork("png", "rgb8")
    seen = kind(artwork)

    assert found(rectangle).grid is None
    assert found(repeated(sprite(alpha=False), 8), "jpeg", quality=95).grid is None
    assert seen.grid is None
    assert shrunk(artwork, seen) is artwork
    assert enlarged(artwork.image, artwork, seen) is artwork.image


def layer(opacity: float, colour: int = 20) -> np.ndarray:
    written = np.hypot(X - 0.5, Y - 0.5) < 0.3
    return np.stack([np.full((SIDE, SIDE), colour)] * 3 + [np.where(written, opacity, 0)], -1)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((64, 64, 3), 200), "one colour"),
        (200 + np.random.default_rng(0).normal(0, 0.4, (64, 64, 3)), "one colour"),
        (layer(0), "transparent everywhere"),
        (layer(26), "nearly transparent: nowhere more than 10 %"),
        (layer(255, 255), "on a dark page only"),
    ],
)
def test_nothing_to_protect_is_said_in_words(pixels, words) -> None:
    assert words in (found(pixels).nothing or "")


@pytest.mark.parametrize("pixels", [layer(255), layer(128), 200 + 4 * np.sin(40 * X)[..., None] * np.ones(3)])
def test_a_silhouette_and_a_faint_picture_are_something(pixels) -> None:
    assert found(pixels).nothing is None


def test_the_box_of_what_shows() -> None:
    pixels = np.zeros((60, 80, 4))
    pixels[10:25, 30:70] = 255
    pixels[50, 5, 3] = 2  # too faint to be seen

    assert shown_box(read(file(pixels))) == (30, 10, 40, 15)
    assert shown_box(read(file(pixels[..., :3]))) == (0, 0, 80, 60)
    assert shown_box(read(file(0 * pixels))) == (0, 0, 80, 60)


def test_few_colours_are_counted_and_growth_is_foretold() -> None:
    flat = file(repeated(sprite(alpha=False), 16))
    out = io.BytesIO()
    Image.open(io.BytesIO(flat)).quantize(16).save(out, "PNG")

    assert kind(read(flat)).colours == kind(read(out.getvalue())).colours == 9
    assert growth(read(out.getvalue())) > 20
    assert growth(read(file(strokes()))) < 1.5
    assert growth(read(file(comic(), "jpeg"))) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 2), (130, 4), (1, 3000)])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_any_size_is_looked_at(shape, bands) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, bands))
    assert kind(read(file(pixels[..., 0] if bands == 1 else pixels))).name


def test_a_kind_is_plain_values() -> None:
    assert dataclasses.asdict(found(comic()))["name"] == "flat colour"


SHARED = [
    ("manga-rgb.png", {"name": "screen tone", "grey": True, "flat": True, "nothing": None}),
    ("flat.png", {"name": "flat colour", "grey": False, "flat": True, "grid": None}),
    ("pixel10x.png", {"name": "pixel art", "grid": 10, "transparent": True, "colours": 8}),
    ("sticker.png", {"name": "colour picture", "flat": False, "transparent": True, "nothing": None}),
    ("alone.png", {"name": "colour picture", "flat": False, "transparent": False, "nothing": None}),
    ("in-canvas.png", {"name": "colour picture", "flat": False, "transparent": True, "nothing": None}),
    ("white.png", {"nothing": "it is one colour"}),
    ("empty-layer.png", {"nothing": "it is transparent everywhere"}),
    ("watermark-10pc.png", {"nothing": "it is nearly transparent: nowhere more than 16 % of it shows"}),
    ("bilevel-g4.tif", {"name": "screen tone", "grey": True, "colours": 2}),
    ("ultrahdr.jpg", {"name": "colour picture", "flat": False, "grid": None}),
]


@pytest.mark.parametrize(("name", "facts"), SHARED, ids=[name for name, _ in SHARED])
def test_the_shared_cases(name, facts) -> None:
    if not (CASES / name).exists():
        pytest.skip("the folder of small cases is not here")
    seen = kind(read(CASES / name))
    assert {key: getattr(seen, key) for key in facts} == facts


def test_the_shared_sprite_comes_back_as_it_was() -> None:
    if not (CASES / "pixel10x.png").exists():
        pytest.skip("the folder of small cases is not here")
    artwork = read(CASES / "pixel10x.png")
    seen = kind(artwork)
    own = shrunk(artwork, seen)

    assert (own.width, own.height) == (48, 48)
    assert np.array_equal(enlarged(own.image, artwork, seen).numpy(), artwork.image.numpy())
    assert shown_box(read(CASES / "in-canvas.png"))[2:] == (200, 200)
