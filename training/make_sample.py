"""Paint the sample picture that the package ships: scikit-image's cat "Chelsea" (CC0) in the manner of Gauguin.

pip download --no-deps scikit-image && unzip -j scikit_image-*.whl skimage/data/chelsea.png
python training/make_sample.py chelsea.png
"""

import sys
from pathlib import Path

import torch

from velatura.images import read, save, working
from velatura.protection.panels import png
from velatura.styles import catalogue, transfer

OUT = Path(__file__).parents[1] / "src/velatura/data/sample/cat.png"

if __name__ == "__main__":
    picture = working(read(Path(sys.argv[1])), 512)
    style = catalogue.load().find("paul-gauguin-tahitian-women-on-the-beach")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    save(png(transfer.paint(picture, torch.tensor([style.vector]))), OUT)
