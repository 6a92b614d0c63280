"""A captioning model by path: tiny and random, so only its mechanics can be tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from velatura.errors import WeightsError
from velatura.images import save
from velatura.mimicry import captioner
from velatura.protection.panels import png

transformers = pytest.importorskip("transformers")


@pytest.fixture
def blip(tmp_path: Path) -> Path:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]", "a", "cat", "tree", "red"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    config = transformers.BlipConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": 16, "encoder_hidden_size": 16, "intermediate_size": 16,
            "projection_dim": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 40,
            "bos_token_id": 4, "eos_token_id": 3, "pad_token_id": 0, "sep_token_id": 3,
        },
        vision_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 32, "patch_size": 8,
        },
    )  # fmt: skip
    transformers.set_seed(0)
    transformers.BlipForConditionalGeneration(config).save_pretrained(tmp_path / "blip")
    transformers.BertTokenizer(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "blip")
    return tmp_path / "blip"


def test_a_model_writes_captions(blip: Path, tmp_path: Path, make_scene) -> None:
    save(png(make_scene(60, 40)), tmp_path / "a.png")
    caption = captioner.load(str(blip))
    words = caption(tmp_path / "a.png")
    assert isinstance(words, str)
    assert words == caption(tmp_path / "a.png")
    assert words == words.strip() != ""


def test_a_missing_model_is_one_line() -> None:
    with pytest.raises(WeightsError, match="expected a BLIP captioning model"):
        captioner.load("nobody/nothing")
