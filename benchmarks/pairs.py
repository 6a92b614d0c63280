"""Pairs of cloaked and clean pictures by other artists: what a learned purifier and a trained detector learn from.

    python benchmarks/pairs.py ../shared/art runs/pairs

Neither the tuning nor the reporting artists are among them. Pictures are brought to the miniature's 128 px and cloaked
as ``velatura protect`` does by default, at LPIPS 0.1, one target style an artist. ``runs/pairs/learn/{clean,cloaked}``
are for training, ``runs/pairs/test/{clean,cloaked}`` of artists of whom nothing was learned. A stopped run continues.
Nothing of it is committed: neither pairs nor purifiers are shipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from velatura.evaluation import Arm
from velatura.evaluation.protecting import protect
from velatura.images import read, save, working
from velatura.protection import Protector, Settings
from velatura.protection.panels import png

SIDE, BUDGET, MOST = 128, 0.1, 12  # short side, LPIPS, pictures an artist
TEST = ("modern/maria-letta", "paintings/caravaggio", "paintings/gustave-dore")
# In the order of their seeds: another target style is drawn for each.
ARTISTS = (
    *("modern/maria-letta", "paintings/aubrey-beardsley", "paintings/birket-foster", "paintings/caravaggio"),
    *("paintings/diego-velazquez", "paintings/george-cruikshank", "paintings/george-morland"),
    *("paintings/gustave-dore", "paintings/henry-cranke-andrews", "paintings/john-pettie", "paintings/paul-cezanne"),
    "paintings/pierre-auguste-renoir",
)


def make(folder: Path, out: Path, seed: int) -> int:
    """One artist's pairs, evenly spaced in order of name; how many they are."""
    paths = sorted(folder.glob("*.jpg"))
    count = min(MOST, len(paths))
    paths = [paths[i * len(paths) // count] for i in range(count)]
    folders = {part: out / part / folder.name for part in ("clean", "cloaked")}
    if not all((place / f"{paths[-1].stem}.png").exists() for place in folders.values()):
        pictures = [working(read(path), SIDE) for path in paths]
        protector = Protector(Settings(models=("mini",), resolutions=(SIDE,), seed=seed))
        cloaked = protect(Arm("velatura", BUDGET), protector, pictures, seed).files
        for part, files in (("clean", [png(picture) for picture in pictures]), ("cloaked", cloaked)):
            folders[part].mkdir(parents=True, exist_ok=True)
            for path, data in zip(paths, files, strict=True):
                save(data, folders[part] / f"{path.stem}.png")
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("out", type=Path, help="runs/pairs")
    args = parser.parse_args()
    for seed, artist in enumerate(ARTISTS, 1):
        part = "test" if artist in TEST else "learn"
        print(part, artist, make(args.art / artist, args.out / part, seed), flush=True)
