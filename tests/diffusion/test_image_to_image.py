"""Pictures keep their size, whatever size a pipeline is used to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from velatura.diffusion.image_to_image import repaint


class AsGiven:
    """Sizes as Stable Diffusion's pipelines take them: those of the picture."""

    vae_scale_factor = 8

    def __call__(self, *, image: Tensor, **_: Any) -> Any:
        assert not any(side % 8 for side in image.shape[-2:])
        return SimpleNamespace(images=image)


class Square:
    """As FLUX's and Stable Diffusion 3's: a square unless it is told, and even numbers of latents."""

    vae_scale_factor = 8

    def __call__(self, *, image: Tensor, height: int | None = None, width: int | None = None, **_: Any) -> Any:
        size = (height or 128, width or 128)
        assert not any(side % 16 for side in size)
        return SimpleNamespace(images=F.interpolate(image, size))


@pytest.mark.parametrize("pipeline", [AsGiven(), Square()])
def test_a_picture_keeps_its_size(pipeline: Any, make_scene: Any) -> None:
    picture = make_scene(52, 76, 0)
    painted = repaint(pipeline, picture, ["a cat"], [0])
    assert torch.allclose(painted, picture, atol=1e-6)
