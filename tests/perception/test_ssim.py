"""SSIM against the formula, window by window."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from velatura.perception.pixels import ssim


def test_it_is_the_papers_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(1, 3, 14, 13, generator=generator)
    b = (0.7 * a + 0.3 * torch.rand(a.shape, generator=generator)).clamp(0, 1)
    line = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    weight = np.outer(line, line) / np.outer(line, line).sum()
    values = []
    for x, y in zip(a[0].double().numpy(), b[0].double().numpy(), strict=True):
        for top in range(4):
            for left in range(3):
                p, q = (v[top : top + 11, left : left + 11] for v in (x, y))
                mp, mq = (weight * p).sum(), (weight * q).sum()
                vp, vq = (weight * (p - mp) ** 2).sum(), (weight * (q - mq) ** 2).sum()
                cov = (weight * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    assert float(ssim(a, b)) == pytest.approx(np.mean(values), abs=1e-5)
    assert float(ssim(a, a)) == pytest.approx(1, abs=1e-6)
    assert float(ssim(a, 1 - a)) < 0
