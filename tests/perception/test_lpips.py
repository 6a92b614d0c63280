"""LPIPS against the reference implementation's figures; colour difference against published pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
import pyvips
import torch

from velatura.errors import ContractError
from velatura.perception.color_difference import delta_e
from velatura.perception.lpips import lpips
from velatura.perception.pixels import largest_difference, psnr


def picture(path: Path) -> torch.Tensor:
    array = pyvips.Image.new_from_file(str(path)).numpy().copy()
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(("other", "value"), [("ex_p0.png", 0.7219), ("ex_p1.png", 0.1376)])
def test_alexnet_gives_the_reference_implementations_figures(shared: Path, other: str, value: float) -> None:
    reference = picture(shared / "lpips/ex_ref.png")
    assert float(lpips(reference, picture(shared / "lpips" / other))) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(("net", "value"), [("alex", 0.5965), ("vgg", 0.7874)])
def test_lpips_of_two_formulas_stays_what_it_is(net: str, value: float) -> None:
    """Ours of November 2026, when AlexNet's had the figures above; budgets and decoded shift are in these units."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 96), indexing="ij")
    first = torch.stack([x, y, (x + y) / 2])[None]
    second = torch.stack([x, 1 - y, ((9 * x).sin() + 1) / 2])[None]
    assert float(lpips(first, second, net)) == pytest.approx(value, rel=2e-3)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_zero_for_equal_grows_with_noise_and_ignores_the_batch(make_scene, net: str) -> None:
    x = torch.cat([make_scene(64, 64, 0), make_scene(64, 64, 1)])
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    little, much = (lpips(x, (x + s * noise).clamp(0, 1), net) for s in (0.02, 0.2))
    assert lpips(x, x, net).abs().max() == 0
    assert (little < much).all()
    assert torch.allclose(lpips(x[1:], (x + 0.2 * noise).clamp(0, 1)[1:], net), much[1:], atol=1e-5)


def test_lpips_says_expected_and_got() -> None:
    good = torch.rand(1, 3, 64, 64)
    with pytest.raises(ContractError, match=r"values in \[0, 1\], got"):
        lpips(good * 255, good)
    with pytest.raises(ContractError, match="one shape"):
        lpips(good, good[:, :, :32])
    with pytest.raises(ContractError, match="at least 32 px"):
        lpips(good[:, :, :16], good[:, :, :16])


def test_delta_e_of_known_colours() -> None:
    white, black = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    assert delta_e(white, black).mean() == pytest.approx(100, abs=0.5)
    assert delta_e(white, white).max() == 0
    # sRGB (128, 128, 128) against (129, 129, 129): L* 53.585 and 53.967, S_L 1.0034, so ΔE00 0.38.
    grey = torch.full((1, 3, 2, 2), 128 / 255)
    assert delta_e(grey, grey + 1 / 255).mean() == pytest.approx(0.38, abs=0.03)


def test_psnr_and_linf() -> None:
    a = torch.full((1, 3, 4, 4), 0.5)
    assert float(psnr(a, a + 0.1)) == pytest.approx(20, abs=1e-3)
    assert float(largest_difference(a, a + 0.1)) == pytest.approx(0.1, abs=1e-6)
