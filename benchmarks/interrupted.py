"""kill -9 at random moments of a real batch, many times: is a file ever corrupt or missing, does a re-run finish?

    python benchmarks/interrupted.py -o results/interrupted.json [--way forked|stand-in]

Runs ``velatura protect`` on 30 small files of five kinds with few steps, kills it after a random time, looks at every
file, and runs the same again. A run that ends by itself is followed by one with another seed, which replaces every
picture. At the end the batch is left to finish, and its files must be those of a batch that nobody disturbed.

Starting takes longer than a picture, and much longer on a busy machine: in four runs of five the clock starts when the
run has written its first file.

forked: real cloaks as well, in forks of one process that has imported everything and decodes by itself.
stand-in: so, and the cloak is a small change instead (tests/cli/quick_batch.py): the batch, its files and their order
are the real ones, and nearly all of the time is writing, so that more kills fall into it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from velatura import __version__
from velatura.errors import VelaturaError
from velatura.images import read
from velatura.reports.result import Result, Row

KINDS = ("png", "jpg", "webp", "tif", "avif")
COMMAND = (sys.executable, "-c", "from velatura.cli import main; main()", "protect", "-q", "-m", "mini", "-e", "fast")


def art(folder: Path, count: int) -> dict[Path, bytes]:
    """Small pictures: soft colours, a different one each."""
    folder.mkdir()
    for index in range(count):
        coarse = np.random.default_rng(index).integers(0, 255, (5, 7, 3), np.uint8)
        path = folder / f"{index:02}.{KINDS[index % len(KINDS)]}"
        Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC).save(path, quality=95)
    return {path: path.read_bytes() for path in sorted(folder.iterdir())}


class Command:
    """The command, a process of its own each time."""

    def __init__(self, source: Path, out: Path) -> None:
        self.arguments = ["-r", "64", str(source), "-o", str(out), "--seed"]

    def start(self, seed: int) -> None:
        self.process = subprocess.Popen([*COMMAND, *self.arguments, str(seed)], start_new_session=True)

    def wait(self, seconds: float | None = None) -> int | None:
        """Its status, or None if it runs still."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Forked:
    """Forks of one process that has imported everything."""

    kind = "real"

    def __init__(self, source: Path, out: Path) -> None:
        helper = Path(__file__).parents[1] / "tests/cli/quick_batch.py"
        out.mkdir()
        self.server = subprocess.Popen(
            [sys.executable, str(helper), str(source), str(out), self.kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def start(self, seed: int) -> None:
        assert self.server.stdin is not None
        self.server.stdin.write(f"{seed}\n".encode())
        self.child = self._line()

    def _line(self) -> int:
        assert self.server.stdout is not None
        return int(self.server.stdout.readline())

    def wait(self, seconds: float | None = None) -> int | None:
        return self._line() if select.select([self.server.stdout], [], [], seconds)[0] else None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # done in this very moment
            os.kill(self.child, signal.SIGKILL)
        self._line()


class StandIn(Forked):
    kind = "quick"


WAYS = {"command": Command, "forked": Forked, "stand-in": StandIn}


def under_way(run: Command | Forked, out: Path) -> bool:
    """Wait until a run has written a file; False if it ended before."""

    def seen() -> dict[str, int]:
        found = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(out) as entries:
            for entry in entries:
                if not entry.name.startswith(".velatura-"):
                    found[entry.name] = entry.stat().st_mtime_ns
        return found

    before = seen()
    while seen() == before:
        if run.wait(0.005) is not None:
            return False
    return True


def looked_at(out: Path, names: set[str]) -> tuple[int, list[str]]:
    """How many pictures stand there, and what is wrong with any of the files."""
    wrong, pictures = [], 0
    for path in sorted(out.iterdir()) if out.exists() else []:
        try:
            if path.name.endswith(".report.json"):
                json.loads(path.read_text(encoding="utf-8"))
            elif path.name in names or path.name.endswith(".sheet.png"):
                read(path)
            elif not path.name.startswith(".velatura-"):
                wrong.append(f"{path.name}: nobody asked for it")
        except (VelaturaError, ValueError) as error:
            wrong.append(str(error))
        if path.name in names:
            pictures += 1
            report = json.loads(path.with_suffix(".report.json").read_text(encoding="utf-8"))
            if sha256(path.read_bytes()).hexdigest() not in (report["output_sha256"], report["replaces_sha256"]):
                wrong.append(f"{path.name}: is not what its report says")
    return pictures, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="result file")
    parser.add_argument("--pictures", type=int, default=30)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--longest", type=float, default=30, help="seconds after which, at most, a run is killed")
    parser.add_argument("--way", choices=WAYS, default="command", help="how a batch is run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, seed, kills, finished, seen, wrong = random.Random(options.seed), 0, 0, 0, 0, list[str]()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        source, out, fresh = (Path(folder) / name for name in ("art", "out", "fresh"))
        originals = art(source, options.pictures)
        names = {path.name for path in originals}
        runs = [WAYS[options.way](source, where) for where in (out, fresh)]
        while kills < options.kills:
            runs[0].start(seed)
            runs_still = kills % 5 == 0 or under_way(runs[0], out)
            if runs_still and runs[0].wait(chance.uniform(0, options.longest)) is None:
                runs[0].kill()
                kills += 1
            else:
                finished, seed = finished + 1, seed + 1
            there, bad = looked_at(out, names)
            if there < seen:
                bad.append(f"{seen - there} pictures that stood there are gone")
            seen, wrong = there, wrong + bad
            print(f"{kills} killed, {finished} finished, {there} pictures, {len(wrong)} wrong {bad}", flush=True)
        temporary = len(list(out.glob(".velatura-*")))
        for run in runs:
            run.start(seed)
        statuses = [run.wait() for run in runs]
        alike = sum((out / name).read_bytes() == (fresh / name).read_bytes() for name in names)
        changed = sum(path.read_bytes() != data for path, data in originals.items())
    figures = {
        "runs killed": kills,
        "runs that finished in between": finished,
        "corrupt, foreign or missing files": len(wrong),
        "originals changed": changed,
        "unfinished temporary files left": temporary,
        "status of the last run": statuses[0],
        "pictures as in an undisturbed batch": alike,
    }
    for name, value in figures.items():
        print(f"{value:4} {name}")
    settings = {
        "pictures": len(names),
        "longest": options.longest,
        "way": options.way,
        "seconds": round(time.monotonic() - begun),
    }
    good = not wrong and not changed and not any(statuses) and alike == len(names)
    flags = [] if good else ["a batch did not survive", *wrong[:20]]
    if options.output:
        rows = [Row(name, value, kills) for name, value in figures.items()]
        Result("kill -9", __version__, options.seed, "cpu", settings, {}, rows, flags).save(options.output)
    sys.exit(not good)


if __name__ == "__main__":
    main()
