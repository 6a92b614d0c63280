"""Paint a made-up motif in the manner of each style of the catalogue, to choose from; no picture of anyone's.

    python training/paint_swatches.py

Writes ``src/velatura/server/static/swatches.webp``, squares in rows, and ``swatches.json``, whose they are.
"""

from __future__ import annotations

import json
import math

import torch
import torch.nn.functional as F

from velatura.images import save
from velatura.images.libvips import pyvips
from velatura.server.catalogue import COLUMNS, STATIC, SWATCH
from velatura.styles import transfer
from velatura.styles.catalogue import load

SIDE = 256  # px, painted; shown smaller


def motif() -> torch.Tensor:
    """``(1, 3, SIDE, SIDE)``: a sun over two hills and water, in plain gradients."""
    y, x = torch.meshgrid(torch.linspace(0, 1, SIDE), torch.linspace(0, 1, SIDE), indexing="ij")
    picture = torch.stack([0.62 + 0.3 * y, 0.72 + 0.14 * y, 0.86 - 0.16 * y])

    def lay(mask: torch.Tensor, colour: tuple[float, float, float], shade: torch.Tensor) -> None:
        for channel, value in enumerate(colour):
            picture[channel] = torch.where(mask, value * shade, picture[channel])

    lay((x - 0.68) ** 2 + (y - 0.3) ** 2 < 0.012, (0.98, 0.86, 0.6), torch.ones_like(x))
    lay(y > 0.52 - 0.16 * torch.sin(math.pi * (x * 1.2 + 0.1)), (0.5, 0.58, 0.66), 0.8 + 0.4 * x)
    lay(y > 0.62 - 0.12 * torch.cos(2.6 * math.pi * (x - 0.3)), (0.42, 0.5, 0.34), 0.7 + 0.5 * (1 - x))
    lay(y > 0.8 + 0.02 * torch.sin(9 * x), (0.36, 0.46, 0.56), 0.8 + 0.3 * torch.sin(60 * y) * x)
    return picture.clamp(0, 1)[None]


def main() -> None:
    styles, picture = load().styles, motif()
    squares = []
    for style in styles:
        painted = transfer.paint(picture, torch.tensor([style.vector]))
        small = F.interpolate(painted, (SWATCH, SWATCH), mode="bicubic", antialias=True).clamp(0, 1)
        squares.append((small[0] * 255).round().byte())
    squares += [torch.zeros_like(squares[0])] * (-len(squares) % COLUMNS)
    rows = [torch.cat(squares[i : i + COLUMNS], dim=2) for i in range(0, len(squares), COLUMNS)]
    sheet = torch.cat(rows, dim=1).permute(1, 2, 0).contiguous()
    image = pyvips.Image.new_from_memory(sheet.numpy().tobytes(), sheet.shape[1], sheet.shape[0], 3, "uchar")
    save(image.copy(interpretation="srgb").webpsave_buffer(Q=75, smart_subsample=True), STATIC / "swatches.webp")
    save(json.dumps([style.name for style in styles], indent=0).encode(), STATIC / "swatches.json")


if __name__ == "__main__":
    main()
