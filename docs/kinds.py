"""docs/images/kinds.png: seven kinds of picture before and after the default cloak, at 100 %.

    python docs/kinds.py

All are made of the package's own sample picture, or by formula.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from velatura import weights
from velatura.images import read
from velatura.protection import Protector, Settings

PAGE = Path(__file__).parent / "images/kinds.png"
SIDE, CROP, GAP = 512, 240, 12
STYLE = "pieter-bruegel-the-elder-1"


def kinds() -> dict[str, Image.Image]:
    cat = Image.open(weights.embedded("sample")).convert("RGB").crop((128, 0, 128 + SIDE, SIDE))
    grey = cat.convert("L")
    light = np.asarray(grey) / 255
    sepia = Image.fromarray((np.stack([light**0.8, light, light**1.3], 2) * 255).astype("uint8"))
    lines = grey.filter(ImageFilter.GaussianBlur(1.5)).filter(ImageFilter.CONTOUR).point(lambda v: 255 * (v > 225))
    flat = Image.new("RGB", (SIDE, SIDE), "#f4ead2")
    draw = ImageDraw.Draw(flat)
    for i, colour in enumerate(("#c8553d", "#588b8b", "#ffd5c2", "#28536b", "#f28f3b")):
        draw.ellipse(
            (60 + 70 * i, 120 + 40 * (i % 3), 220 + 70 * i, 290 + 40 * (i % 3)), fill=colour, outline="#222222", width=5
        )
    small = cat.resize((SIDE // 16, SIDE // 16), Image.Resampling.BOX).quantize(24).convert("RGB")
    cut = cat.copy()
    mask = Image.new("L", cut.size, 0)
    ImageDraw.Draw(mask).ellipse((60, 40, SIDE - 60, SIDE - 40), fill=255)
    cut.putalpha(mask)
    return {
        "colour": cat, "grey": grey.convert("RGB"), "one hue": sepia, "flat colour": flat,
        "line art": lines.convert("RGB"), "pixel art": small.resize((SIDE, SIDE), Image.Resampling.NEAREST),
        "cut out": cut,
    }  # fmt: skip


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def main() -> None:
    protector = Protector(Settings(style=STYLE))
    page = Image.new("RGB", (7 * (CROP + GAP) + GAP, 2 * (CROP + GAP) + GAP + 24), "#faf9f6")
    draw, left = ImageDraw.Draw(page), (SIDE - CROP) // 2
    for i, (name, picture) in enumerate(kinds().items()):
        done = protector.protect(read(png(picture)))
        print(f"{name}: {done.report['kind']['name']}; {done.verdict.sentence}", flush=True)
        x = GAP + i * (CROP + GAP)
        draw.text((x, GAP), f"{name}, before and after", "#333333", ImageFont.load_default(15))
        for row, one in enumerate((picture, Image.open(io.BytesIO(done.data)))):
            part = one.convert("RGBA").crop((left, left, left + CROP, left + CROP))
            page.paste(part, (x, GAP + 22 + row * (CROP + GAP)), part)
    page.save(PAGE)


if __name__ == "__main__":
    main()
