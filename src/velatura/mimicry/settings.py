"""How to fine-tune: the ways that mimics use, and the usual recipe of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from velatura.diffusion.pipeline import is_full_size, side
from velatura.errors import InputError

Method = Literal["full", "lora", "dreambooth", "textual-inversion", "pez"]


@dataclass(frozen=True)
class Settings:
    """How to fine-tune.

    ``full`` trains the U-Net on captions (as diffusers' train_text_to_image); ``lora`` low-rank additions to its
    attention (Hu et al., 2022); ``dreambooth`` U-Net and text encoder, held back by the model's own pictures of the
    class (Ruiz et al., CVPR 2023, eq. 2); ``textual-inversion`` only the vectors of a new word (Gal et al., 2023);
    ``pez`` trains nothing, it finds known words that paint the pictures (Wen et al., NeurIPS 2023; ``invert.py``).
    """

    method: Method = "full"
    steps: int = 2000
    rate: float = 5e-6
    batch: int = 4
    resolution: int = 512
    seed: int = 0
    cosine: bool = False  # decay of the rate to zero; else constant
    caption_dropout: float = 0.0  # share of captions left empty, which keeps guidance working in long runs
    subject_dropout: float = 0.0  # share that keep the artist's name only, so that the style hangs on the name
    rank: int = 16  # lora
    vectors: int = 4  # textual inversion: how many the new word has; pez: how many words
    prior_pictures: int = 100  # dreambooth: the model's own pictures of the class
    prior_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InputError(f"method: expected one of {', '.join(get_args(Method))}, got {self.method!r}")
        for name in ("steps", "batch", "resolution", "rank", "vectors"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected 1 or more, got {getattr(self, name)}")
        if not 0 < self.rate < 1:
            raise InputError(f"rate: expected a learning rate between 0 and 1, got {self.rate}")


# SD: Hönig et al. 2024 (full: 2000 steps, 5e-6, batch 4; Glaze's re-implementation has 500 of batch 8), the rest from
# the scripts of diffusers. Of the miniature's, "full" and "textual-inversion" were chosen on the tuning artists (grids
# of benchmarks/mimicry.py; of the second the largest rate was the best); "lora" and "dreambooth" are guesses.
_FULL_SIZE: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"rate": 1e-4, "steps": 1500},
    "dreambooth": {"rate": 2e-6, "steps": 1000, "batch": 2},
    "textual-inversion": {"rate": 5e-4, "steps": 3000},
}
_MINIATURE: dict[str, dict[str, Any]] = {
    "full": {"rate": 1e-3, "steps": 300, "subject_dropout": 0.4},
    "lora": {"rate": 2e-3, "steps": 400, "rank": 32},
    "dreambooth": {"rate": 1e-4, "steps": 250, "prior_pictures": 48},
    "textual-inversion": {"rate": 3e-2, "steps": 300},
}


def defaults(pipeline: Any, method: Method = "full") -> Settings:
    """The usual recipe for this base model: the literature's, or, for small models, one that laptops bear."""
    resolution = side(pipeline)
    if method not in get_args(Method):
        return Settings(method=method)  # which refuses
    if method == "pez":  # words that leave room for a subject
        words = min(16, int(pipeline.tokenizer.model_max_length) // 2)
        return Settings(method, 3000, 0.1, resolution=resolution, vectors=words)
    if is_full_size(pipeline):
        return Settings(method=method, resolution=resolution, **_FULL_SIZE[method])
    small: dict[str, Any] = {"batch": 16, "cosine": True, "caption_dropout": 0.1}
    return Settings(method=method, resolution=resolution, **{**small, **_MINIATURE[method]})
