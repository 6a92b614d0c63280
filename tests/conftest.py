"""Shared by all tests: small pictures made by formula, no hub, no folders of the user."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's library, which reads it once
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # before torch, here and in what tests start
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import pytest
import torch
from torch import Tensor

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELATURA_CONFIG", str(tmp_path_factory.mktemp("config")))
    # Eight trials of T before every picture would double the time; tests/protection and tests/styles try them.
    monkeypatch.setattr("velatura.styles.choose.TRIED", 1)
    # One cache for the session: the precision trial runs once.
    monkeypatch.setenv("VELATURA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def scene(height: int, width: int, seed: int = 0) -> Tensor:
    """``(1, 3, height, width)`` in [0, 1]: smooth colour, a few edges and some grain, as a painting has."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    channels = []
    for _ in range(3):
        a, b, phase = (float(v) for v in torch.rand(3, generator=generator))
        wave = 0.5 + 0.3 * torch.sin(2 * math.pi * ((1 + 3 * a) * x + (1 + 3 * b) * y + phase))
        channels.append(wave + 0.25 * ((x - a) ** 2 + (y - b) ** 2 < 0.04))
    picture = torch.stack(channels)[None] + 0.02 * torch.randn(1, 3, height, width, generator=generator)
    return picture.clamp(0, 1)


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Tensor]:
    return scene


@pytest.fixture
def locked_out(tmp_path: Path) -> Iterator[Path]:
    """A folder of a user whom permissions apply to: root, whom they do not, becomes nobody for the test."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="velatura-test-"))
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference material beside the checkout, or a skip."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference material at {SHARED}, which is not part of the product")
    return SHARED


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion's classes with a handful of random weights, saved as any model is."""
    pytest.importorskip("transformers")
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("tiny")
    words = ["<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz", *(f"{c}</w>" for c in "abcdefghijklmn")]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=64, block_out_channels=(8, 8), layers_per_block=1,
        norm_num_groups=4, cross_attention_dim=16, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=vae, unet=unet, text_encoder=CLIPTextModel(text),
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        tokenizer=CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder / "model")  # fmt: skip
    return folder / "model"


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP folder with a handful of random weights."""
    pytest.importorskip("transformers")
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    letters = "abcdefghijklmnopqrstuvwxyz-"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **shape, "vocab_size": len(words), "max_position_embeddings": 24,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    torch.manual_seed(0)
    vision = {**shape, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    CLIPModel(config).save_pretrained(folder / "model")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=24)
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"
