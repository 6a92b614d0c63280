"""Mutated files through the decoder, in processes with the limits of velatura.images.sandbox_process.

python benchmarks/fuzz_decoder.py -n 100000 --seed 1 -o results/fuzz-decoder.json

Each file is read, and what can be read is written again as an uncloaked copy. A process may die: that is counted, and
its file kept in --keep. An exception that is not one clear line is a find, and ends the run with status 1.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyvips
from PIL import Image

from velatura import __version__
from velatura.errors import VelaturaError
from velatura.images import encode, read
from velatura.images.formats import WRITTEN
from velatura.images.sandbox_process import limit
from velatura.reports.result import Result, Row

PART = 250  # files a process
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seeds() -> list[bytes]:
    """Small files of every kind, with metadata."""
    array = np.random.default_rng(0).integers(0, 255, (24, 32, 4), np.uint8)
    array[4:20] //= 2
    colour = pyvips.Image.new_from_array(array[..., :3], interpretation="srgb")
    clear = pyvips.Image.new_from_array(array, interpretation="srgb")
    deep = (colour * 257).cast("ushort").copy(interpretation="rgb16")
    for image in (colour, clear, deep):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", pyvips.Image.profile_load("p3"))
    found = [colour.jpegsave_buffer(Q=90), colour.jpegsave_buffer(interlace=True), clear.webpsave_buffer(effort=0)]
    found += [colour.webpsave_buffer(lossless=True, effort=0), clear.pngsave_buffer(), deep.pngsave_buffer()]
    found += [colour.pngsave_buffer(interlace=True), deep.tiffsave_buffer(compression="lzw"), clear.gifsave_buffer()]
    found += [colour.tiffsave_buffer(tile=True, tile_width=16, tile_height=16, compression="deflate")]
    found += [colour.heifsave_buffer(compression="av1", effort=0), colour[0].jpegsave_buffer()]
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "Ada"
    for format in ("PNG", "JPEG", "WEBP", "TIFF"):
        out = io.BytesIO()
        extra = {"compression": "packbits"} if format == "TIFF" else {"exif": exif}
        Image.fromarray(array[..., :3]).save(out, format, **extra)
        found.append(out.getvalue())
    out = io.BytesIO()
    cmyk = Image.fromarray(array[..., :3]).convert("CMYK")
    cmyk.save(out, "JPEG", icc_profile=pyvips.Image.profile_load("cmyk"))
    return [*found, out.getvalue()]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few changes: bits, bytes, numbers at their extremes, parts cut, doubled or moved."""
    new = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        if not new:
            break
        at = chance.randrange(len(new)) if chance.random() < 0.5 else chance.randrange(min(len(new), 256))
        match chance.randrange(6):
            case 0:
                new[at] ^= 1 << chance.randrange(8)
            case 1:
                new[at] = chance.randrange(256)
            case 2:
                size = chance.choice((1, 2, 4))
                value = chance.choice(EXTREMES) % (1 << 8 * size)
                new[at : at + size] = value.to_bytes(size, chance.choice(("big", "little")))
            case 3:
                del new[at : at + chance.randrange(1, 64)]
            case 4:
                new[at:at] = new[at : at + chance.randrange(1, 64)]
            case 5:
                del new[at + 1 :]
    return bytes(new)


def outcome(data: bytes) -> str:
    try:
        artwork = read(data)
        if artwork.format in WRITTEN:
            encode(artwork, artwork.image)
        return "read"
    except VelaturaError as error:
        return "refused" if "\n" not in str(error) and "; " in str(error) else f"FIND unclear line: {error!r}"
    except Exception as error:  # what a person would see as a traceback
        return f"FIND {type(error).__name__}: {error}"


def part(files: list[bytes]) -> tuple[list[str], int]:
    """Outcomes of the files in a process of their own, and the signal that ended it (0: none)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        limit()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 2)
        for data in files:
            os.write(writing, (outcome(data).replace("\n", " ")[:300] + "\n").encode("utf-8", "replace"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        lines = pipe.read().splitlines()
    return lines, os.waitpid(child, 0)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=100_000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="result file")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-finds"), help="folder for files that kill or surprise")
    options = parser.parse_args()
    # In a process of its own: forking after libvips has started its threads would leave the children waiting for them.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        start = pool.submit(seeds).result()
    chance, counts = random.Random(options.seed), Counter()
    begun, done = time.monotonic(), 0
    while done < options.n:
        files = [mutated(chance.choice(start), chance) for _ in range(min(PART, options.n - done))]
        while files:
            lines, status = part(files)
            for data, line in zip(files, lines, strict=False):
                counts[line.split(":")[0]] += 1
                if line.startswith("FIND"):
                    print(line, file=sys.stderr)
                    keep(options.keep, data, "find")
            done += len(lines)
            files = files[len(lines) :]
            if status and files:
                counts[f"died, status {status}"] += 1
                keep(options.keep, files.pop(0), "died")
                done += 1
        if done % 5000 < PART:
            print(f"{done} files, {dict(counts)}, {done / (time.monotonic() - begun):.0f} a second", flush=True)
    print(f"{done} files in {time.monotonic() - begun:.0f} s: {dict(counts)}")
    finds = sorted(name for name in counts if name.startswith("FIND"))
    if options.output:
        result(counts, done, finds, options.seed, len(start)).save(options.output)
    sys.exit(bool(finds))


def result(counts: Counter[str], done: int, finds: list[str], seed: int, start: int) -> Result:
    versions = {"libvips": ".".join(str(pyvips.version(i)) for i in range(3)), "seeds": start}
    rows = [Row(f"files {name}", count, done) for name, count in sorted(counts.items())]
    return Result("mutated files through the decoder", __version__, seed, "cpu", versions, {}, rows, finds)


def keep(folder: Path, data: bytes, why: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{why}-{abs(hash(data)):x}").write_bytes(data)


if __name__ == "__main__":
    main()
