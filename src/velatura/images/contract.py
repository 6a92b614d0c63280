"""The one tensor contract: float32, sRGB, ``(B, 3, H, W)``, values in [0, 1]."""

from __future__ import annotations

import torch

from velatura.errors import ContractError


def check_pictures(pictures: torch.Tensor, name: str = "pictures") -> torch.Tensor:
    """Return ``pictures`` unchanged, or raise :class:`ContractError` saying expected and got."""
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ContractError(f"{name}: expected a tensor of shape (B, 3, H, W), got {tuple(pictures.shape)}")
    if pictures.dtype != torch.float32:
        raise ContractError(f"{name}: expected float32, got {pictures.dtype}")
    low, high = pictures.detach().aminmax()
    # A rounding error beyond the box is not worth an error; 8-bit values or [-1, 1] are.
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ContractError(f"{name}: expected values in [0, 1], got [{low:.3f}, {high:.3f}]")
    return pictures
