"""How visible cloaks are to people, by ColorVideoVDP beside LPIPS and ꟻLIP.

    python benchmarks/visibility.py make ../shared/art FOLDER
    python benchmarks/visibility.py pairs FOLDER -o results/visibility.json --python /work/cvvdp-venv/bin/python

``make`` protects twenty pictures of six kinds by held-out artists as ``velatura protect`` does, at the three
intensities: eight in colour, three grey, three in flat colour, three line drawings, and one each made of such by
formula: tinted brown, drawn in large pixels, cut out. ``pairs`` judges any folder: FOLDER/files of
``benchmarks/transfer.py --frontier`` has the published objective, PhotoGuard and noise.

FOLDER has one sub-folder for each way to protect, and ``original``; files of one name belong together. Every file is
compared with its original as it was saved, at its own size. ColorVideoVDP (Mantiuk et al., SIGGRAPH 2024) answers in
JOD: 10 is no difference; one JOD less, and three of four people prefer the original. It judges at two displays of its
own, a 4K and a Full HD monitor. Nothing is ever tuned by it (docs/house: contract 6). The result has the mean of each
way to protect with its 95 % interval over pictures. The figures of each file lie beside it, in
``visibility-pictures.json``. A pair of 512 px takes 0.25 seconds of one core at each display.

ColorVideoVDP wants torchvision, which has no CPU build for this project's torch, so it lives in an environment of its
own, which is never velatura's:

    python -m venv /work/cvvdp-venv
    /work/cvvdp-venv/bin/pip install torch==2.13.0
    /work/cvvdp-venv/bin/pip install --no-deps cvvdp==0.5.7
    /work/cvvdp-venv/bin/pip install numpy scipy imageio matplotlib einops huggingface_hub ffmpeg-python

There this file runs again, as ``visibility.py jod``: it reads a JSON list of [original, other] from stdin, NumPy files
``(H, W, 3)`` of 8 bits, and prints one JSON line for each pair. Of torchvision it needs a Gaussian blur alone, and
:func:`stand_in_for_torchvision` has one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from velatura.reports.result import Row

ORIGINAL = "original"
DISPLAYS = ("standard_4k", "standard_fhd")  # ColorVideoVDP's names
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


KINDS = {"colour picture": 8, "grey picture": 3, "flat colour": 3, "line art": 3}
INTENSITIES = ("low", "default", "high")


def make(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from velatura.cloaks.budget import intensity
    from velatura.images import read, save
    from velatura.protection import Protector, Settings

    originals = args.folder / ORIGINAL
    for name in (ORIGINAL, *INTENSITIES, "reports"):
        (args.folder / name).mkdir(parents=True, exist_ok=True)
    for name, data in twenty(args.art).items():
        save(data, originals / f"{name}.png")
    protector = Protector(Settings(style=args.style))
    networks = protector.settings
    for level in args.only or INTENSITIES:
        protector.settings = replace(networks, budget=intensity(level))
        for path in sorted(originals.glob("*.png")):
            result = args.folder / level / path.name
            if result.exists():
                continue
            done = protector.protect(read(path))
            save(done.data, result)
            save(json.dumps(done.report).encode(), args.folder / "reports" / f"{level}-{path.stem}.json")
            print(level, path.stem, done.verdict.sentence, flush=True)


def twenty(art: Path) -> dict[str, bytes]:
    """PNG files by name, of 512 px: the middle squares of held-out pictures, and three that are made of them."""
    import numpy as np

    sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
    from train_surrogate import held_out_files

    from velatura.images import read, working
    from velatura.images.kinds import kind
    from velatura.images.resample import middle

    found: dict[str, bytes] = {}
    squares: dict[str, list[Any]] = {name: [] for name in KINDS}
    artists: dict[str, set[str]] = {name: set() for name in KINDS}
    for path in held_out_files(art, 300, 150):
        artwork = read(path)
        name = kind(artwork).name
        alone = name == "colour picture"  # of these, one by each artist
        if len(squares.get(name, [0] * 99)) >= KINDS.get(name, 0) or (alone and path.parent.name in artists[name]):
            continue
        artists[name].add(path.parent.name)
        square = (middle(working(artwork, 512), 512)[0].permute(1, 2, 0) * 255).round().byte().numpy()
        found[f"{name.split()[0]}-{len(squares[name])}-{path.stem[:30]}"] = as_png(square)
        squares[name].append(square)
    grey, colour = squares["grey picture"][0].mean(2) / 255, squares["colour picture"][0]
    tint = np.stack([grey**0.8, grey, grey**1.3], 2)
    found["one-hue"] = as_png((tint * 255).round().astype("uint8"))
    sprite = squares["flat colour"][0][::16, ::16] // 48 * 48
    found["pixel-art"] = as_png(sprite.repeat(16, 0).repeat(16, 1))
    y, x = np.mgrid[:512, :512]
    oval = (((x - 256) / 200) ** 2 + ((y - 256) / 240) ** 2 < 1).astype("uint8") * 255
    found["cut-out"] = as_png(np.dstack([colour, oval]))
    return found


def as_png(pixels: Any) -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def pairs(folder: Path) -> list[tuple[str, Path, Path]]:
    """(way to protect, original, protected file) of all files that have an original; none may lack it."""
    from velatura.errors import InputError

    originals = {path.stem: path for path in sorted((folder / ORIGINAL).glob("*")) if path.suffix.lower() in SUFFIXES}
    if not originals:
        raise InputError(f"{folder / ORIGINAL}: expected pictures, found none")
    found = []
    for arm in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in (ORIGINAL, "reports")):
        for path in sorted(path for path in arm.iterdir() if path.suffix.lower() in SUFFIXES):
            if path.stem not in originals:
                raise InputError(f"{path}: expected an original of that name in {folder / ORIGINAL}")
            found.append((arm.name, originals[path.stem], path))
    if not found:
        raise InputError(f"{folder}: expected sub-folders of pictures beside {ORIGINAL}")
    return found


def loaded(path: Path) -> Tensor:
    """The file's own pixels in sRGB, of 8 bits, ``(1, 3, H, W)``."""
    from velatura.images import read
    from velatura.images.resample import at_size, tensor

    artwork = read(path)
    return (tensor(at_size(artwork.image, artwork.width, artwork.height)) * 255).round() / 255


def by_velatura(found: list[tuple[str, Path, Path]], temporary: Path) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """What velatura itself says of each pair, and the same pixels as files for the other environment."""
    from velatura.errors import InputError
    from velatura.perception.flip import flip
    from velatura.perception.lpips import lpips

    figures, files = [], []
    for number, (arm, original, other) in enumerate(found):
        a, b = loaded(original), loaded(other)
        if a.shape != b.shape:
            raise InputError(f"{other}: expected the original's size {tuple(a.shape[-2:])}, got {tuple(b.shape[-2:])}")
        figures.append({"arm": arm, "file": other.name, "lpips": float(lpips(a, b)), "flip": float(flip(a, b))})
        files.append([keep(x, temporary / f"{number}-{name}.npy") for x, name in ((a, ORIGINAL), (b, "other"))])
    return figures, files


def keep(picture: Tensor, path: Path) -> str:
    import numpy as np

    np.save(path, (picture[0].permute(1, 2, 0) * 255).round().byte().numpy())
    return str(path)


def by_colorvideovdp(python: Path, files: list[list[str]]) -> Iterator[dict[str, Any]]:
    """One answer for each pair, in their order, as they come."""
    command = [str(python), __file__, "jod"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(files))
        process.stdin.close()
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"ColorVideoVDP ended with {process.returncode}; its environment is {python}")


def compare(args: argparse.Namespace) -> None:
    from velatura import __version__, weights
    from velatura.perception.flip import PPD
    from velatura.reports.result import Result, to_json, write

    version = ""
    with tempfile.TemporaryDirectory() as temporary:
        figures, files = by_velatura(pairs(args.folder), Path(temporary))
        answers = by_colorvideovdp(args.python, files)
        for figure, answer in zip(figures, answers, strict=True):
            version = answer.pop("version")
            figure |= answer
            print(figure, flush=True)
    settings = {
        "folder": str(args.folder),
        "pictures": sorted({figure["file"] for figure in figures}),
        "displays": DISPLAYS,
        "cvvdp": version,
        "flip_pixels_per_degree": PPD,
    }
    used = {"lpips-alex": weights.sha256(weights.embedded("lpips-alex"))}
    rows, flags = table(figures)
    Result("visibility", __version__, None, "cpu", settings, used, rows, flags).save(args.output)
    write(to_json(figures), args.output.with_name(f"{args.output.stem}-pictures.json"))


def table(figures: list[dict[str, Any]]) -> tuple[list[Row], list[str]]:
    """A row for each way to protect and metric: the mean over its pictures and its interval."""
    from velatura.reports.result import Row
    from velatura.reports.statistics import mean_interval

    rows, flags = [], []
    arms = list(dict.fromkeys(figure["arm"] for figure in figures))
    for arm in arms:
        of_arm = [figure for figure in figures if figure["arm"] == arm]
        for metric in [key for key in of_arm[0] if key not in ("arm", "file")]:
            values = [figure[metric] for figure in of_arm]
            mean, low, high = mean_interval(values) if len(values) > 1 else (values[0], None, None)
            rows.append(Row(metric, mean, len(values), low, high, arm=arm))
    every = {Path(figure["file"]).stem for figure in figures}
    for arm in arms:
        missing = every - {Path(figure["file"]).stem for figure in figures if figure["arm"] == arm}
        if missing:
            flags.append(f"{arm}: {len(missing)} of {len(every)} pictures are missing; its means are of the rest")
    return rows, flags


def stand_in_for_torchvision() -> None:
    """What ColorVideoVDP imports of torchvision: a blur, and a perceptron that only its learned variants make."""
    import torch
    import torch.nn.functional as F

    class GaussianBlur(torch.nn.Module):
        """torchvision's, of ``(N, C, H, W)``: separable, the borders mirrored."""

        def __init__(self, kernel_size: int, sigma: float) -> None:
            super().__init__()
            around = (kernel_size - 1) / 2
            line = torch.exp(-0.5 * (torch.linspace(-around, around, kernel_size) / sigma) ** 2)
            self.line = line / line.sum()

        def forward(self, x: Tensor) -> Tensor:
            line, reach = self.line.to(x), len(self.line) // 2
            channels = x.shape[1]
            x = F.pad(x, (reach, reach, reach, reach), mode="reflect")
            x = F.conv2d(x, line.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)
            return F.conv2d(x, line.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)

    class MLP(torch.nn.Module):
        def __init__(self, *_: object, **__: object) -> None:
            raise NotImplementedError("torchvision's MLP: ColorVideoVDP's learned variants are not used here")

    parts = {"": {}, ".transforms": {"GaussianBlur": GaussianBlur}, ".ops": {"MLP": MLP}}
    for name, content in parts.items():
        module = types.ModuleType("torchvision" + name)
        module.__dict__.update(content)
        sys.modules[module.__name__] = module


def judge() -> None:
    """In ColorVideoVDP's environment: pairs from stdin, JOD to stdout."""
    from importlib.metadata import version

    import numpy as np
    import torch

    stand_in_for_torchvision()
    import pycvvdp

    metrics = {
        name: pycvvdp.cvvdp(display_name=name, heatmap="none", quiet=True, device=torch.device("cpu"))
        for name in DISPLAYS
    }
    for original, other in json.load(sys.stdin):
        reference, test = np.load(original), np.load(other)
        answer: dict[str, float | str] = {}
        for name, metric in metrics.items():
            start = time.process_time()
            with torch.inference_mode():
                jod, _ = metric.predict(test, reference, dim_order="HWC")
            answer |= {f"jod_{name}": float(jod), f"seconds_{name}": round(time.process_time() - start, 3)}
        print(json.dumps(answer | {"version": version("cvvdp")}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    compared = commands.add_parser("pairs", help="compare files with their originals")
    compared.add_argument("folder", type=Path, help="sub-folders of pictures, original among them")
    compared.add_argument("-o", "--output", type=Path, default=Path("results/visibility.json"))
    compared.add_argument("--python", type=Path, required=True, help="the python of ColorVideoVDP's environment")
    made = commands.add_parser("make", help="protect twenty pictures")
    made.add_argument("art", type=Path, help="../shared/art")
    made.add_argument("folder", type=Path)
    made.add_argument("--style", default="pieter-bruegel-the-elder-1")
    made.add_argument("--only", nargs="*", choices=INTENSITIES, help="some of the intensities")
    commands.add_parser("jod", help="for the other environment: pairs from stdin, JOD to stdout")
    arguments = parser.parse_args()
    if arguments.command == "jod":
        judge()
    else:
        {"make": make, "pairs": compare}[arguments.command](arguments)
