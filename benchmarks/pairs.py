"""Pairs of cloaked and clean pictures by other artists: what a learned purifier and a trained detector learn from.

    python benchmarks/pairs.py ../shared/art runs/pairs

Neither the tuning nor the reporting artists are among them. Pictures are brought to the miniature's 128 px and cloaked
as ``velatura protect`` does by default, at LPIPS 0.1, one target style an artist. ``runs/pairs/learn/{clean,cloaked}``
are for training; ``runs/pairs/test/{clean,cloaked,noise}`` are of artists of whom nothing was learned, with noise as
visible beside. A stopped run continues. Nothing of it is committed: purifiers and pairs are not shipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from velatura.evaluation.arms import Arm, protect
from velatura.images import read, save, working
from velatura.protect import Protector, Settings
from velatura.protect.protector import png

SIDE, BUDGET = 128, 0.1
VICTIMS = ("kate-greenaway", "ivan-aivazovsky", "vincent-van-gogh", "david-revoy")  # of tuning and of reporting
TEST = ("rembrandt", "walter-crane", "howard-pyle", "egon-elbre", "katsushika-hokusai")
MOST = {"learn": 12, "test": 6}  # pictures an artist


def artists(art: Path) -> dict[str, dict[str, list[Path]]]:
    """Pictures by artist for each of the two parts, evenly spaced in order of name."""
    found: dict[str, dict[str, list[Path]]] = {"learn": {}, "test": {}}
    for folder in sorted(path for group in ("paintings", "modern") for path in (art / group).iterdir()):
        if folder.name in VICTIMS:
            continue
        part = "test" if folder.name in TEST else "learn"
        paths = sorted(folder.glob("*.jpg"))
        count = min(MOST[part], len(paths))
        found[part][folder.name] = [paths[i * len(paths) // count] for i in range(count)]
    return found


def make(part: str, artist: str, paths: list[Path], out: Path, seed: int) -> None:
    """One artist's pictures: clean, cloaked, and, to test on, noised."""
    arms = {"cloaked": Arm("velatura", BUDGET)} | ({"noise": Arm("noise", BUDGET)} if part == "test" else {})
    folders = {arm: out / part / arm / artist for arm in ("clean", *arms)}
    if all((folder / f"{paths[-1].stem}.png").exists() for folder in folders.values()):
        return
    pictures = [working(read(path), SIDE) for path in paths]
    files = {"clean": [png(picture) for picture in pictures]}
    for name, arm in arms.items():
        settings = Settings(models=("mini",), resolutions=(SIDE,), seed=seed)
        files[name] = protect(arm, Protector(settings), pictures, seed).files
    for name, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in zip(paths, files[name], strict=True):
            save(data, folder / f"{path.stem}.png")


def main(args: argparse.Namespace) -> None:
    found = artists(args.art)
    names = [*found["learn"], *found["test"]]
    for part in ("test", "learn"):
        for artist, paths in found[part].items():
            make(part, artist, paths, args.out, args.seed + 1 + names.index(artist))  # another target style for each
            print(part, artist, len(paths), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="../shared/art")
    parser.add_argument("out", type=Path, help="runs/pairs")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
