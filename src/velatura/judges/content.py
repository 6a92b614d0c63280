"""Does a generated picture show what its prompt asked for? CLIP, by model id, finds each picture's prompt again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from velatura.errors import InputError
from velatura.judges.clip import Clip
from velatura.judges.views import Pictures


@dataclass(frozen=True, eq=False)
class Content:
    """``own`` ``(B,)``: cosine of picture and own prompt; ``others`` ``(B,)``: mean cosine with the other prompts.

    ``found`` ``(B,)`` bool: the own prompt is the nearest of all. By chance that is one in ``prompts``.
    """

    own: Tensor
    others: Tensor
    found: Tensor
    prompts: int

    @property
    def top1(self) -> float:
        """Share of pictures whose own prompt is the nearest of all."""
        return float(self.found.float().mean())


def content(pictures: Pictures, prompts: Sequence[str], clip: Clip) -> Content:
    """Compare each picture with its own prompt, of ``prompts`` the one at its place, and with all the others.

    Repeated prompts (several pictures of each) count once. Leave the artist's name out: it says nothing about content.
    """
    if len(prompts) != len(pictures):
        raise InputError(f"content: expected one prompt a picture, got {len(prompts)} for {len(pictures)} pictures")
    distinct = list(dict.fromkeys(prompts))
    if len(distinct) < 2:
        raise InputError(f"content: expected two different prompts or more, got {len(distinct)}")
    likeness = clip.pictures(pictures) @ clip.texts(distinct).T
    index = torch.tensor([distinct.index(prompt) for prompt in prompts])
    own = likeness.gather(1, index[:, None])[:, 0]
    others = (likeness.sum(1) - own) / (len(distinct) - 1)
    return Content(own, others, likeness.argmax(1) == index, len(distinct))
