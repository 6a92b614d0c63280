"""What each way of fine-tuning trains and saves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from velatura.mimicry.captions import named

if TYPE_CHECKING:
    from velatura.mimicry.settings import Settings

EMBEDDINGS = "learned_embeds.safetensors"
LORA = "pytorch_lora_weights.safetensors"


@dataclass
class Trainee:
    """Parameters to optimise, and how to save what they became.

    ``words`` rewrites a caption for the trained model; ``before_step`` may edit the gradients.
    """

    _parameters: list[nn.Parameter]
    save: Callable[[Path], None]
    decay: float = 1e-2
    words: Callable[[str], str] = field(default=lambda caption: caption)
    before_step: Callable[[], None] = field(default=lambda: None)

    def parameters(self) -> list[nn.Parameter]:
        return self._parameters


def make(pipeline: Any, settings: Settings, artist: str) -> Trainee:
    """Prepare ``pipeline`` for ``settings.method``; it is changed in place."""
    return _MAKERS[settings.method](pipeline, settings, artist)


def _full(pipeline: Any, settings: Settings, artist: str) -> Trainee:
    return _whole(pipeline, [pipeline.unet])


def _dreambooth(pipeline: Any, settings: Settings, artist: str) -> Trainee:
    return _whole(pipeline, [pipeline.unet, pipeline.text_encoder])


def _whole(pipeline: Any, modules: list[nn.Module]) -> Trainee:
    parameters = [p for module in modules for p in module.requires_grad_(True).parameters()]

    def save(folder: Path) -> None:
        pipeline.save_pretrained(folder, safe_serialization=True)

    return Trainee(parameters, save)


def _lora(pipeline: Any, settings: Settings, artist: str) -> Trainee:
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    pipeline.unet.add_adapter(
        LoraConfig(r=settings.rank, lora_alpha=settings.rank, init_lora_weights="gaussian", target_modules=targets)
    )
    parameters = [p for p in pipeline.unet.parameters() if p.requires_grad]

    def save(folder: Path) -> None:
        from diffusers.utils import convert_state_dict_to_diffusers

        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet))
        pipeline.save_lora_weights(folder, unet_lora_layers=layers, safe_serialization=True)

    return Trainee(parameters, save)


def _textual_inversion(pipeline: Any, settings: Settings, artist: str) -> Trainee:
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    word = f"<{'-'.join(artist.lower().split())}>"
    # The names that diffusers gives to the vectors of one word, so that it can load them.
    names = [word, *(f"{word}_{i}" for i in range(1, settings.vectors))]
    tokenizer.add_tokens(names)
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table: nn.Parameter = encoder.get_input_embeddings().weight
    ids = tokenizer.convert_tokens_to_ids(names)
    known = tokenizer("picture", add_special_tokens=False).input_ids
    with torch.no_grad():  # starts from the word that it stands beside, a little apart from it
        start = table[known].mean(0)
        noise = torch.randn(len(ids), len(start), generator=torch.Generator().manual_seed(settings.seed))
        table[ids] = start + 0.1 * start.std() * noise.to(table)
    table.requires_grad_(True)
    others = torch.ones(len(table), 1, dtype=torch.bool, device=table.device)
    others[ids] = False

    def only_the_word() -> None:
        if table.grad is not None:
            table.grad.masked_fill_(others, 0)

    def save(folder: Path) -> None:
        from safetensors.torch import save_file

        save_file({word: table[ids].detach().cpu().contiguous()}, folder / EMBEDDINGS)

    def words(caption: str) -> str:
        at = named(caption, artist)
        # In training the vectors stand one beside the other; a pipeline does the same with the one word in a prompt.
        return caption if at is None else caption[: at.start()] + " ".join(names) + caption[at.end() :]

    return Trainee([table], save, decay=0.0, words=words, before_step=only_the_word)


_MAKERS = {"full": _full, "lora": _lora, "dreambooth": _dreambooth, "textual-inversion": _textual_inversion}
