"""Both painters: the embedded network against the original's numbers, and behaviour that a target must have."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from velatura.errors import ContractError, InputError, MissingExtra, WeightsError
from velatura.styles import transfer
from velatura.styles.networks import StylePredictor, StyleTransformer
from velatura.styles.transfer import load_img2img, paint, paint_with_pipeline, style_vector

REFERENCE = json.loads((Path(__file__).parent / "transfer_reference.json").read_text())


def waves(side: int, phase: float) -> torch.Tensor:
    """The picture of ``training/convert_style_transfer.py``, from which the reference numbers were made."""
    y, x = torch.meshgrid(*[torch.arange(side, dtype=torch.float64) / side] * 2, indexing="ij")
    planes = []
    for c in range(3):
        shapes = torch.sin(phase + 7 * x + 11 * y * y + c * (1 + x * y))
        texture = torch.sin(40 * x + 60 * y * x + c) * torch.sin(55 * y + phase)
        planes.append(0.45 + 0.2 * shapes + 0.1 * texture)
    return torch.stack(planes)[None].float()


def tinted(color: tuple[float, float, float], side: int = 256) -> torch.Tensor:
    """A style with a colour of its own: the waves' light and dark, in shades of it."""
    light = waves(side, 1.0).mean(1, keepdim=True) * 2
    return (light * torch.tensor(color).view(1, 3, 1, 1)).clamp(0, 1)


RED, BLUE = tinted((0.9, 0.25, 0.1)), tinted((0.1, 0.3, 0.9))


# "float" is the original graph without its int8 rounding of activations: only fp16 weights are between it and us.
# "int8" is the original as published.
@pytest.mark.parametrize(("kind", "vector_off", "picture_off"), [("float", 0.008, 0.006), ("int8", 0.02, 0.03)])
def test_converted_networks_agree_with_the_original(kind: str, vector_off: float, picture_off: float) -> None:
    expected = {key: torch.tensor(value) for key, value in REFERENCE[kind].items()}
    vector = style_vector(waves(256, 2.0))
    assert (vector[0] - expected["vector"]).abs().mean() < vector_off
    painted = transfer.transformer()(waves(384, 0.0), vector)
    tiles = F.avg_pool2d(painted, 16).permute(0, 2, 3, 1).flatten()
    assert (tiles - expected["painted"]).abs().mean() < picture_off


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 31), (64, 66), (131, 77)])
def test_transformer_takes_any_size(height: int, width: int) -> None:
    painted = transfer.transformer()(torch.rand(1, 3, height, width), torch.zeros(1, 100))
    assert painted.shape == (1, 3, height, width)
    assert painted.isfinite().all()


@pytest.mark.parametrize(("height", "width"), [(33, 47), (128, 128), (515, 513)])
def test_paint_keeps_size_and_range_and_repeats(height: int, width: int) -> None:
    picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    vector = style_vector(RED)
    painted = paint(picture, vector)
    assert painted.shape == picture.shape
    assert painted.dtype == torch.float32
    assert painted.min() >= 0
    assert painted.max() <= 1
    assert torch.equal(painted, paint(picture, vector))


def test_paint_takes_a_vector_each_or_one_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SIDE_RANGE", (96, 96))  # quicker
    pictures = torch.cat([waves(96, 0.0), waves(96, 3.0)])
    vectors = torch.cat([style_vector(RED), style_vector(BLUE)])
    both = paint(pictures, vectors)
    for i in range(2):
        torch.testing.assert_close(both[i : i + 1], paint(pictures[i : i + 1], vectors[i : i + 1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(paint(pictures, vectors[:1])[0], both[0], atol=1e-4, rtol=0)


def test_a_long_picture_is_painted_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Size] = []

    def network(picture: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        seen.append(picture.shape)
        return picture

    monkeypatch.setattr(transfer, "transformer", lambda device: network)
    monkeypatch.setattr(transfer, "MOST_PIXELS", 40_000)
    painted = paint(torch.rand(1, 3, 32, 1600), torch.zeros(1, 100))
    assert painted.shape == (1, 3, 32, 1600)
    height, width = seen[0][-2:]
    assert height * width <= 41_000
    assert width / height == pytest.approx(50, rel=0.05)


def test_style_decides_the_colours() -> None:
    picture = waves(128, 0.0)
    red, blue = (paint(picture, style_vector(style)).mean((0, 2, 3)) for style in (RED, BLUE))
    assert red[0] - red[2] > 0.1
    assert blue[2] - blue[0] > 0.1


def test_own_style_stays_closer_and_strength_leads_away() -> None:
    picture, far = waves(128, 0.0), style_vector(RED)
    away = [(paint(picture, far, strength=s) - picture).abs().mean().item() for s in (0.0, 0.5, 1.0)]
    assert away[0] < away[1] < away[2]
    assert away[0] < 0.5 * away[2]
    torch.testing.assert_close(paint(picture, far, strength=0.0), paint(picture, style_vector(picture)))


def test_style_vector_reads_the_centre_square() -> None:
    picture = waves(256, 2.0)
    wide = F.pad(picture, (40, 40, 0, 0))
    torch.testing.assert_close(style_vector(wide), style_vector(picture))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: paint(waves(64, 0.0), torch.zeros(2, 100)), ContractError, r"\(1 or 1, 100\), got \(2, 100\)"),
        (lambda: paint(waves(64, 0.0), torch.zeros(100)), ContractError, r"got \(100,\)"),
        (lambda: paint(waves(64, 0.0) * 255, torch.zeros(1, 100)), ContractError, "in \\[0, 1\\]"),
        (lambda: paint(waves(64, 0.0), torch.zeros(1, 100), strength=1.5), InputError, r"0 to 1, got 1\.5"),
        (lambda: StyleTransformer()(torch.rand(1, 3, 7, 64), torch.zeros(1, 100)), ContractError, "7 x 64"),
        (lambda: StylePredictor()(torch.rand(1, 3, 64, 64)), ContractError, "256"),
    ],
)
def test_wrong_arguments_say_expected_and_got(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


# ---- the painter of the paper: an image-to-image pipeline ----


def test_pipeline_paints_quietly_and_repeats_by_seed(
    tiny_model: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for library in ("diffusers", "transformers"):  # their own handlers write where nothing captures
        monkeypatch.setattr(logging.getLogger(library), "propagate", True)
    capfd.readouterr()
    pipeline = load_img2img(str(tiny_model), offline=True)
    picture = torch.cat([waves(67, 0.0)[..., :50], waves(67, 1.0)[..., :50]])
    omega = partial(paint_with_pipeline, pipeline, steps=4)
    painted = omega(picture, "a fan")
    assert painted.shape == picture.shape
    assert painted.dtype == torch.float32
    assert painted.min() >= 0
    assert painted.max() <= 1
    assert torch.equal(painted, omega(picture, "a fan"))
    assert not torch.equal(painted, omega(picture, "a fan", seed=1))
    assert not torch.equal(painted, omega(picture, "a bag", guidance=20.0))
    # A picture is painted the same alone and in company.
    torch.testing.assert_close(omega(picture[1:], "a fan"), painted[1:], atol=1e-4, rtol=0)
    captured = capfd.readouterr()
    assert captured.out + captured.err + caplog.text == ""
    assert [str(w.message) for w in recwarn] == []


def test_pipeline_tells_what_is_wrong(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = load_img2img(str(tiny_model), offline=True)
    with pytest.raises(InputError, match=r"at least one of 4 steps, got 0\.1"):
        paint_with_pipeline(pipeline, waves(64, 0.0), "a", strength=0.1, steps=4)
    with pytest.raises(WeightsError, match="offline"):
        load_img2img(str(tiny_model / "nowhere"), offline=True)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"velatura\[lab\]"):
        load_img2img(str(tiny_model))


def test_where_half_precision_overflows_it_is_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "FluxPipeline")
    for has_bf16, other in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has_bf16=has_bf16: has_bf16)
        assert [transfer._sixteen_bits(name) for name in names] == [torch.float16, torch.float16, other, other]
