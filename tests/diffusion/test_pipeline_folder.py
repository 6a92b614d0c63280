"""A Stable Diffusion folder with our autoencoder in it is any Stable Diffusion folder to diffusers."""

from __future__ import annotations

from pathlib import Path

import torch


def test_stock_pipeline_loads_our_autoencoder(tiny_model: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    import velatura.diffusion.autoencoder
    from velatura.diffusion import extractors

    torch.manual_seed(0)
    vae = velatura.diffusion.autoencoder.MiniAutoencoder(block_out_channels=(12, 8, 8, 16))
    StableDiffusionPipeline.from_pretrained(tiny_model, vae=vae).save_pretrained(tmp_path)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    assert isinstance(pipeline.vae, velatura.diffusion.autoencoder.MiniAutoencoder)
    generator = torch.Generator().manual_seed(0)
    picture = pipeline("a", num_inference_steps=2, height=64, width=64, output_type="pt", generator=generator).images
    assert picture.shape == (1, 3, 64, 64)
    assert extractors.load(tmp_path).downscale == 8


def test_a_pipeline_on_taef2_is_seen_through_taef2(tiny_model: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    from velatura.diffusion import extractors, pipeline
    from velatura.diffusion.taef2 import Taef2Autoencoder

    torch.manual_seed(0)
    vae = Taef2Autoencoder(scaling_factor=1.25)
    tiny = StableDiffusionPipeline.from_pretrained(tiny_model)
    unet = UNet2DConditionModel.from_config({**tiny.unet.config, "in_channels": 32, "out_channels": 32})
    StableDiffusionPipeline(**{**tiny.components, "vae": vae, "unet": unet}, requires_safety_checker=False
    ).save_pretrained(tmp_path)  # fmt: skip
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    extractor = extractors.load(tmp_path)
    with torch.no_grad():
        assert torch.equal(extractor.encode(picture), vae.encode(picture * 2 - 1).latent_dist.mode())
    assert extractor.scaling_factor == 1.25
    model = pipeline.load(str(tmp_path))
    made = model("a", num_inference_steps=1, height=64, width=64, output_type="pt").images
    assert made.shape == (1, 3, 64, 64)
