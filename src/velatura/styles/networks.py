"""The two halves of Magenta's arbitrary stylisation network (Ghiasi et al., BMVC 2017, arXiv:1705.06830).

A predictor (MobileNetV2) turns a style picture into 100 numbers; a transformer repaints any picture under
the scales and shifts that those numbers give to its instance normalisations.
Weights: converted by ``training/convert_style_transfer.py``; see ``data/styletransfer/README.md``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from velatura.errors import ContractError

STYLE_SIDE = 256  # the predictor was trained at this size only
STYLE_NUMBERS = 100
SMALLEST = 8  # reflection padding needs two rows at a quarter of the size

# MobileNetV2's table: expansion, channels, repeats, stride of the first.
_BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME does: at stride 2 and an even size, below and to the right only."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, width, kernel, stride, groups=groups)
        extra = kernel - stride
        self.edges = (extra // 2, extra - extra // 2) * 2

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(input, self.edges) if any(self.edges) else input)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, filter each channel, narrow; added to its input where shapes allow."""

    def __init__(self, channels: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand = SameConv(channels, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, 3, stride, groups=inner)
        self.project = SameConv(inner, width, 1)
        self.adds = stride == 1 and channels == width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        narrow: torch.Tensor = self.project(F.relu6(self.depthwise(y)))
        return x + narrow if self.adds else narrow


class StylePredictor(nn.Module):
    """``(B, 3, 256, 256)`` in [0, 1] -> ``(B, 100)``. Batch normalisations were folded into the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        self.blocks = nn.ModuleList()
        channels = 32
        for expansion, width, repeats, stride in _BLOCKS:
            for i in range(repeats):
                self.blocks.append(InvertedResidual(channels, width, expansion, stride if i == 0 else 1))
                channels = width
        self.top = SameConv(channels, 1280, 1)
        self.style = SameConv(1280, STYLE_NUMBERS, 1)
        self.requires_grad_(False).eval()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        if pictures.shape[1:] != (3, STYLE_SIDE, STYLE_SIDE):
            raise ContractError(
                f"style predictor: expected (B, 3, {STYLE_SIDE}, {STYLE_SIDE}), got {tuple(pictures.shape)}"
            )
        x = F.relu6(self.stem(pictures))
        for block in self.blocks:
            x = block(x)
        vector: torch.Tensor = self.style(F.relu6(self.top(x)).mean((2, 3), keepdim=True))
        return vector.flatten(1)


class MirrorConv(nn.Conv2d):
    """A convolution after reflection padding, half the kernel on every side also at stride 2."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(channels, width, kernel, stride, bias=bias)
        self.edges = (kernel // 2,) * 4

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(input, self.edges, mode="reflect"))


class StyledConv(nn.Module):
    """Convolution, then instance normalisation whose scale and shift are linear in the style vector."""

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = MirrorConv(channels, width, kernel, bias=False)
        self.scale = nn.Linear(STYLE_NUMBERS, width)
        self.shift = nn.Linear(STYLE_NUMBERS, width)

    def forward(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        scale: torch.Tensor = self.scale(style)[..., None, None]
        shift: torch.Tensor = self.shift(style)[..., None, None]
        return F.instance_norm(self.conv(x), eps=1e-5) * scale + shift


class StyledResidual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = StyledConv(width, width, 3)
        self.conv2 = StyledConv(width, width, 3)

    def forward(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.conv2(F.relu(self.conv1(x, style)), style)
        return x + change


class StyleTransformer(nn.Module):
    """``(B, 3, H, W)`` in [0, 1] and ``(B, 100)`` -> ``(B, 3, H, W)`` in [0, 1], at any size from 8 px."""

    def __init__(self) -> None:
        super().__init__()
        self.contract = nn.ModuleList([MirrorConv(3, 8, 9), MirrorConv(8, 16, 3, 2), MirrorConv(16, 32, 3, 2)])
        self.residual = nn.ModuleList([StyledResidual(32) for _ in range(5)])
        self.expand = nn.ModuleList([StyledConv(32, 16, 3), StyledConv(16, 8, 3), StyledConv(8, 3, 9)])
        self.requires_grad_(False).eval()

    def forward(self, pictures: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        height, width = pictures.shape[-2:]
        if min(height, width) < SMALLEST:
            raise ContractError(f"style transformer: expected at least {SMALLEST} px a side, got {height} x {width}")
        x = F.pad(pictures, (0, -width % 4, 0, -height % 4), mode="reflect")
        for conv in self.contract:
            x = F.relu(conv(x))
        for block in self.residual:
            x = block(x, style)
        first, second, last = self.expand
        for layer in (first, second):
            x = F.relu(layer(F.interpolate(x, scale_factor=2, mode="nearest"), style))
        return torch.sigmoid(last(x, style))[..., :height, :width]
