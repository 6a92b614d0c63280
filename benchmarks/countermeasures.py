"""What each countermeasure costs a mimic: seconds a picture, at its default settings.

    python benchmarks/countermeasures.py -o results/countermeasures.json

Processor seconds of one thread (``cpu_seconds``), which other work on the machine disturbs little, and seconds by the
clock; of one picture with a short side of 128 px, the miniature's, by the miniature's networks. The best of three, but
IMPRESS once, with a tenth of its steps, multiplied up. A purifier costs the same whatever it has learned.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import torch

from velatura import __version__, weights
from velatura.countermeasures import COUNTERMEASURES
from velatura.countermeasures.purifier import Network, Purifier
from velatura.countermeasures.treatment import prepare
from velatura.images import read, working
from velatura.reports.result import Result, Row

SIDE, TENTH = 128, 10


def run(output: Path) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    load = os.getloadavg()[0]
    picture = working(read(weights.embedded("sample")), SIDE)
    rows: list[Row] = []
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        purifier = Path(folder) / "purifier.safetensors"
        purifier.write_bytes(Purifier(Network(), SIDE, {}).save())
        for name, row in COUNTERMEASURES.items():
            attack = prepare(name, model=str(purifier) if row.needs == "purifier" else "mini")
            digests |= {key: value for key, value in attack.weights.items() if row.needs != "purifier"}
            factor, times = 1, 3
            if name == "impress":
                factor, times = TENTH, 1
                attack = prepare(name, {"steps": str(attack.settings.steps // TENTH)})  # type: ignore[attr-defined]
            timed = []
            for _ in range(times):
                start = time.process_time(), time.perf_counter()
                attack(picture)
                timed.append((factor * (time.process_time() - start[0]), factor * (time.perf_counter() - start[1])))
            for metric, seconds in zip(("cpu_seconds", "seconds"), map(min, zip(*timed, strict=True)), strict=True):
                rows.append(Row(metric, seconds, times, countermeasure=name))
            print(f"{name:16} {rows[-2].value:.3g} s", flush=True)
    settings = {"picture": f"{picture.shape[-1]} x {picture.shape[-2]}", "threads": 1, "load_before": load}
    flags = [f"other work was running: load {load:.1f} at the start"] if load > 0.7 else []
    Result("countermeasures", __version__, 0, "cpu", settings, digests, rows, flags).save(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/countermeasures.json"))
    run(parser.parse_args().output)
