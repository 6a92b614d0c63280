"""Pictures at the edges of what is read: memory of ``velatura protect`` as a whole process, and what it left.

    python benchmarks/sizes.py -o results/sizes.json [CASE ...]

Few steps at a small working resolution, since what is measured is reading, fitting and writing; what a cloak takes at
the usual one is speed.py's question. Peak memory is that of the main process and of the largest process
that decodes beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyvips

from velatura import __version__
from velatura.images import read
from velatura.reports.result import Result, Row

# name: width, height, suffix, bits
CASES = {
    "1x1": (1, 1, ".png", 8),
    "2x3": (2, 3, ".jpg", 8),
    "1:50": (40, 2000, ".png", 8),
    "50:1": (2000, 40, ".webp", 8),
    "200 MP JPEG": (20000, 10000, ".jpg", 8),
    "200 MP PNG": (20000, 10000, ".png", 8),
    "200 MP TIFF, 16 bits": (20000, 10000, ".tif", 16),
}
OPTIONS = ("-m", "mini", "-e", "fast", "-r", "64", "-q")
WHOLE = """
import resource, sys
from velatura.cli import main
sys.argv = ["velatura", "protect", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
own = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss is inherited
print(int(own.split()[1]) // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def picture(path: Path, width: int, height: int, bits: int) -> None:
    """Soft colours with some grain, made strip by strip."""
    x = pyvips.Image.xyz(width, height)
    image = (x[0] * (150 / width) + 40).bandjoin([x[1] * (140 / height) + 50, 128])
    image = image + pyvips.Image.gaussnoise(width, height, sigma=3, mean=0)
    if bits == 16:
        (image * 257).cast("ushort").copy(interpretation="rgb16").write_to_file(str(path), compression="lzw")
    else:
        image.cast("uchar").copy(interpretation="srgb").write_to_file(str(path))


def measured(name: str) -> list[Row]:
    width, height, suffix, bits = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"picture{suffix}"
        picture(path, width, height, bits)
        command = [sys.executable, "-c", WHOLE, str(path), "-o", f"{folder}/out", *OPTIONS]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr[-2000:]}")
        saved = read(Path(folder) / "out" / path.name)
        assert (saved.width, saved.height, saved.bits) == (width, height, bits)
        report = json.loads((Path(folder) / "out/picture.report.json").read_text(encoding="utf-8"))
    main, beside = map(int, done.stdout.split())
    figures = {"MiB": main, "MiB of its decoder": beside, "LPIPS": report["figures"]["lpips"]}
    return [Row(metric, value, 1, recipe=name) for metric, value in figures.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("-o", "--output", type=Path, help="result file; written again after each case")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.cases:
        rows += measured(name)
        print(", ".join(f"{row.metric} {row.value:g}" for row in rows if row.recipe == name), name, flush=True)
        if options.output:
            settings = {"options": " ".join(OPTIONS), "libvips threads": pyvips.concurrency_get()}
            left = [f"{case}: not measured" for case in CASES if case not in {row.recipe for row in rows}]
            settings["load"] = round(os.getloadavg()[0], 1)
            Result("sizes", __version__, 0, "cpu", settings, {}, rows, left).save(options.output)


if __name__ == "__main__":
    main()
