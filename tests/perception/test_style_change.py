from __future__ import annotations

import torch

from velatura.perception.style import style, style_change


def test_style_changes_with_the_hand_not_with_light_or_a_little_grain(make_scene) -> None:
    picture = make_scene(160, 200)
    rows = style(picture)
    assert rows.shape == (1, 6048)
    assert float(style_change(rows, rows)) < 1e-5

    def change(other: torch.Tensor) -> float:
        return float(style_change(rows, style(other.clamp(0, 1))))

    grain = 0.005 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    hatched = picture * (0.4 + 0.6 * (torch.arange(200) % 6 < 3))
    blurred = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    slight = max(change(picture + grain), change(picture + 0.02), change(0.95 * picture))
    assert change(hatched) > 2 * change(blurred) > 10 * slight
