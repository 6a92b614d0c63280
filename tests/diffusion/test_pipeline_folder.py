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
