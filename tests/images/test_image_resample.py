"""Sizes, and that δ arrives where the model will look for it."""

from __future__ import annotations

import image_samples as make
import numpy as np
import pytest
import pyvips
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from velatura.errors import ContractError, InputError
from velatura.images import apply, crops, read, resize_delta, working, working_size
from velatura.images.contract import check_pictures
from velatura.images.resample import doubled

side = st.integers(1, 20000)


@given(side, side, st.sampled_from([128, 384, 512, 1024]))
def test_working_size(width, height, short):
    w, h = working_size(width, height, short)
    assert min(w, h) == short
    assert w % 8 == h % 8 == 0
    assert (w >= h) == (width >= height) or w == h
    assert abs(max(w, h) - max(width, height) * short / min(width, height)) <= 4 + 1e-6


@pytest.mark.parametrize(
    ("size", "expected"), [((6000, 4000), (768, 512)), ((300, 200), (768, 512)), ((9, 9), (512, 512))]
)
def test_working_size_by_example(size, expected):
    assert working_size(*size, 512) == expected


def test_working_size_refuses_nonsense():
    with pytest.raises(InputError):
        working_size(0, 10, 512)


@pytest.mark.parametrize("mode", make.MODES)
def test_working_keeps_the_tensor_contract(mode):
    picture = check_pictures(working(make.artwork("png", mode), 64))
    assert picture.shape == (1, 3, 64, 96)
    assert picture.is_contiguous()
    if mode.startswith("grey"):
        assert torch.equal(picture[:, 0], picture[:, 1])


def test_working_is_pillows_lanczos():
    ours = working(make.artwork("png", "rgb8"), 16)[0].permute(1, 2, 0).numpy() * 255
    theirs = Image.fromarray(make.pixels("rgb8")).resize((24, 16), Image.Resampling.LANCZOS)
    assert np.abs(ours - np.asarray(theirs)).max() < 1.2  # theirs is rounded to 8 bits, and reduces in one step


def test_sixteen_bits_and_eight_look_alike():
    eight, sixteen = (working(make.artwork("png", mode), 64) for mode in ("rgb8", "rgb16"))
    assert (eight - sixteen).abs().max() < 1 / 255


def test_transparency_shows_white():
    assert working(make.artwork("png", "rgba8"), 40)[..., :5].min() > 0.99


def test_a_profile_is_heeded_and_a_broken_one_is_not():
    plain, wide = (working(make.artwork("png", mode), 40) for mode in ("rgb8", "rgb8-p3"))
    assert (plain - wide).abs().max() > 4 / 255
    for profile in (
        b"rubbish",
        pyvips.Image.profile_load("cmyk"),
        pyvips.Image.profile_load("srgb"),
        make.grey_profile(),
    ):
        picture = make.image("rgb8").copy()
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        assert torch.equal(working(picture, 40), plain)


def test_crops_are_native_pixels():
    artwork = make.artwork("png", "rgb8")
    parts = crops(artwork, 32, [(0, 0), (88, 48)])
    assert [p.shape for p in parts] == [(1, 3, 32, 32)] * 2
    expected = torch.from_numpy(make.pixels("rgb8")[48:, 88:].copy()).permute(2, 0, 1)[None] / 255
    assert torch.equal(parts[1], expected)
    with pytest.raises(InputError, match="not inside"):
        crops(artwork, 32, [(89, 48)])


def _noise(h: int, w: int, lowest: float, highest: float) -> torch.Tensor:
    """Band-limited noise; frequencies in cycles a pixel."""
    white = torch.fft.rfft2(torch.randn(1, 3, h, w, generator=torch.manual_seed(0)))
    radius = torch.hypot(torch.fft.fftfreq(h)[:, None], torch.fft.rfftfreq(w)[None])
    return torch.fft.irfft2(white * ((radius >= lowest) & (radius < highest)), s=(h, w))


@pytest.mark.parametrize("size", [(1500, 1000), (997, 661), (280, 187), (192, 128)])
@pytest.mark.parametrize(
    ("band", "gain", "error"), [((0, 0.1), 0.98, 0.04), ((0.1, 0.25), 0.97, 0.1), ((0, 0.8), 0.83, 0.26)]
)
def test_delta_survives_the_way_to_the_file_and_back(size, band, gain, error):
    delta = _noise(128, 192, *band)
    up = resize_delta(delta, *size)
    assert (up.width, up.height, up.format) == (*size, "float")
    down = up.resize(192 / size[0], vscale=128 / size[1], kernel="lanczos3").numpy()
    seen = torch.from_numpy(down.transpose(2, 0, 1).copy())[None]
    assert (seen * delta).sum() / delta.square().sum() > gain
    assert (seen - delta).norm() / delta.norm() < error


def test_delta_of_the_same_size_is_untouched():
    delta = torch.randn(1, 3, 40, 60)
    assert np.array_equal(resize_delta(delta, 60, 40).numpy(), delta[0].permute(1, 2, 0).numpy())


def test_delta_reaches_small_pictures():
    artwork = make.artwork("png", "rgb8")
    shift = working(apply(artwork, torch.full((1, 3, 512, 768), 0.1)), 512) - working(artwork, 512)
    assert (shift - 0.1).abs().max() < 1 / 255


def test_enlarging_does_not_displace():
    ramp = read(
        make.encoded("png", pyvips.Image.identity().embed(0, 0, 256, 64, extend="copy").copy(interpretation="b-w"))
    )
    large = working(ramp, 128)[0, 0, 64].numpy() * 255
    assert np.abs(large[8:-8] - (np.arange(512) / 2 - 0.25)[8:-8]).max() < 0.05


@pytest.mark.parametrize(
    "delta",
    [torch.zeros(3, 8, 8), torch.zeros(2, 3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8).double()]
    + [torch.full((1, 3, 8, 8), value) for value in (2.0, float("nan"))],
)
def test_wrong_delta_is_refused(delta):
    with pytest.raises(ContractError, match=r"delta: expected .* got"):
        apply(make.artwork("png", "rgb8"), delta)


def test_doubling_is_lanczos3_sharpened_by_what_a_trip_up_and_down_loses():
    def matrix(size, new):
        ratio = new / size
        centres = (torch.arange(new) + 0.5) / ratio - 0.5
        distance = (torch.arange(size)[None] - centres[:, None]) * min(ratio, 1)
        weights = torch.where(distance.abs() < 3, torch.sinc(distance) * torch.sinc(distance / 3), 0.0)
        return weights / weights.sum(1, keepdim=True)

    delta = torch.randn(2, 3, 40, 24, generator=torch.Generator().manual_seed(0))
    up_y, up_x, down_y, down_x = matrix(40, 80), matrix(24, 48), matrix(80, 40), matrix(48, 24)
    lost = delta - (down_y @ up_y) @ delta @ (down_x @ up_x).T
    assert torch.allclose(doubled(delta), up_y @ (delta + lost) @ up_x.T, atol=1e-5)
    assert doubled(torch.ones(1, 3, 8, 9000)).shape == (1, 3, 16, 18000), "long pictures, too"
