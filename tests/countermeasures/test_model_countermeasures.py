"""Countermeasures with a model: the miniature's autoencoder, and Stable Diffusion's layout (tiny, random weights)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from velatura.countermeasures.treatment import prepare
from velatura.diffusion import extractors
from velatura.diffusion import pipeline as models
from velatura.errors import InputError, WeightsError
from velatura.images import working
from velatura.images.read import read
from velatura.perception.lpips import lpips
from velatura.perception.pixels import psnr
from velatura.weights import embedded

pytest.importorskip("transformers")
QUICK = {"steps": "6", "strength": "0.5"}


@pytest.fixture(scope="session")
def tiny_upscaler(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of Stable Diffusion's x4 upscaler with a handful of random weights."""
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionUpscalePipeline, UNet2DConditionModel

    text = models.load(str(tiny_model))
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=7, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
        cross_attention_dim=16, attention_head_dim=4, num_class_embeds=1000,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8), norm_num_groups=4, latent_channels=4, scaling_factor=0.08333,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("upscaler") / "model"
    StableDiffusionUpscalePipeline(
        vae=vae, unet=unet, text_encoder=text.text_encoder, tokenizer=text.tokenizer,
        low_res_scheduler=DDPMScheduler(), scheduler=DDPMScheduler(),
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.mark.parametrize("name", ["vae", "impress", "upscale", "diffuse"])
def test_any_stable_diffusion_folder_will_do(name: str, tiny_model: Path, make_scene: Callable[..., Tensor]) -> None:
    pictures = torch.cat([make_scene(37, 45, seed) for seed in (1, 2)])  # no multiple of anything
    changes = {"vae": {}, "impress": {"steps": "3"}}.get(name, QUICK)
    treatment = prepare(name, changes, model=str(tiny_model))
    first, second = treatment(pictures), treatment(pictures)
    assert first.shape == pictures.shape
    assert first.dtype == torch.float32
    assert not first.requires_grad
    assert torch.equal(first, second)
    assert (first - pictures).abs().mean() > 1e-3
    assert treatment.weights
    if name != "vae":
        assert not torch.equal(first, treatment(pictures, shift=7)), "the seed matters"


def test_an_upscaler_is_used_as_one(tiny_upscaler: Path, tiny_model: Path, make_scene: Callable[..., Tensor]) -> None:
    pictures = make_scene(33, 40, 1)
    upscaled = prepare("upscale", {"steps": "2"}, model=str(tiny_upscaler))(pictures)
    assert upscaled.shape == pictures.shape
    louder = prepare("upscale", {"steps": "2", "level": "20"}, model=str(tiny_upscaler))(pictures)
    assert not torch.equal(upscaled, louder), "it is told the noise level"
    with pytest.raises(WeightsError, match="expected a StableDiffusionPipeline"):
        prepare("diffuse", model=str(tiny_upscaler))


@pytest.mark.parametrize("name", ["upscale", "diffuse"])
def test_what_the_model_believes_replaces_the_noise(
    name: str, tiny_model: Path, make_scene: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model to which all pictures are one picture must give back that one: the sampler does denoise."""
    picture, belief = make_scene(32, 32, 3), make_scene(32, 32, 9)
    seen = extractors.load(tiny_model)
    treatment = prepare(name, {"steps": "40", "strength": "0.6"}, model=str(tiny_model))
    latents = seen.encode(belief) * seen.scaling_factor * 5  # beyond [-1, 1], where nothing may be clipped
    alphas = treatment.model.scheduler.alphas_cumprod

    def ideal(noisy: Tensor, time: Tensor, **rest: object) -> tuple[Tensor]:
        alpha = alphas[int(time)]
        return ((noisy - alpha.sqrt() * latents) / (1 - alpha).sqrt(),)

    monkeypatch.setattr(treatment.model.unet, "forward", ideal)
    wanted = seen.decode(latents / seen.scaling_factor)
    found = treatment(picture)
    # The last step of Stable Diffusion's sampler leaves a little noise.
    assert float((found - wanted).abs().mean()) < 0.02
    assert float((seen.view(picture) - wanted).abs().mean()) > 0.08


def test_the_round_trip_is_the_models_view() -> None:
    picture = working(read(embedded("sample")), 64)
    mini = extractors.load("mini")
    assert torch.equal(prepare("vae")(picture), mini.view(picture))
    again = prepare("vae", {"rounds": "2"})(picture)
    assert torch.allclose(again, mini.view(mini.view(picture)))


def test_impress_makes_the_picture_consistent_and_keeps_it() -> None:
    """What it optimises: less changed by the autoencoder than the given picture, and still near it."""
    picture = working(read(embedded("sample")), 64)[..., :64, :64]
    given = prepare("noise", {"sigma": "0.06"})(picture)
    mini = extractors.load("mini")
    found = prepare("impress", {"steps": "25", "noise": "0", "rate": "0.01"})(given)
    inconsistent = [float((x - mini.view(x)).pow(2).mean()) for x in (given, found)]
    assert inconsistent[1] < 0.5 * inconsistent[0]
    assert float(lpips(given, found)) < 0.4
    tight = prepare("impress", {"steps": "25", "noise": "0", "budget": "0", "alpha": "10"})(given)
    assert float(lpips(given, tight)) < 0.7 * float(lpips(given, found))
    assert float(psnr(given, tight)) > 20


def test_models_that_do_not_fit_are_refused_in_one_line(tiny_model: Path) -> None:
    with pytest.raises(WeightsError, match="velatura models pull sd15 --whole"):
        prepare("diffuse", model="sd15")
    with pytest.raises(WeightsError, match="expected a purifier's file"):
        prepare("learned", model=str(tiny_model / "model_index.json"))
    with pytest.raises(InputError, match=r"strength: expected a number from 0\.001 to 1"):
        prepare("diffuse", {"strength": "0"}, model=str(tiny_model))
