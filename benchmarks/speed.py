"""What a picture costs: gradient steps, whole pictures, and memory, beside the encoders that mimics' models have.

    python benchmarks/speed.py --weights ../shared/weights -o results/speed.json
    python benchmarks/speed.py -o results/speed-cuda.json --device cuda --reference-steps 20 --runs 1 --sizes 1

Wall times want a machine on which nothing else runs; seconds of processor time stand beside them. A step through the
surrogate sees five latent spaces at once; beside it a step through the five distilled autoencoders (``--weights``; left
out without them) and one through a full-size encoder, the SD 1.5 layout with random weights: a step costs the same
whatever the weights are. The published recipe (500 steps of Adam with LPIPS-VGG, as in the IMPRESS repository) is timed
for ``--reference-steps`` steps and multiplied up; a whole default picture is timed as it is, from file to file, with
its start-up; once more with both cores busy elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyvips
import torch
from torch import Tensor

from velatura import __version__
from velatura.diffusion import extractors
from velatura.diffusion.device import pick_device, processor, tune
from velatura.diffusion.extractors import Extractor
from velatura.perception import lpips
from velatura.reports.result import Result, Row

SD15_VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 512,
}
QUIET = 0.5
STYLE = "pieter-bruegel-the-elder-1"  # named: the trials of a drawn one cost once for a body of work
ONE_PICTURE = """
import os, sys, time
from velatura.cli import main
start = time.perf_counter()
source, output, device, *options = sys.argv[1:]
sys.argv = ["velatura", "protect", source, "-o", output, "--device", device, "--force", "-q", *options]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss is inherited
print(time.perf_counter() - start, sum(os.times()[:4]), int(peak.split()[1]) / 1024)
"""
BUSY = "while True: pass"
TEACHERS = ("taesd", "taesdxl", "taesd3", "taef1", "taef2")


SIZES = {"0.3": (512, 512), "1": (1224, 816), "24": (6000, 4000)}  # megapixels


def full_size(device: str) -> Extractor:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    return Extractor(AutoencoderKL(**SD15_VAE).to(device), "random weights in SD 1.5's layout", "0" * 64)


def wait() -> None:
    """For the GPU, which works while Python goes on."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of all processors together."""

    wall: float
    cpu: float

    @staticmethod
    def of(count: int, step: Callable[[], None]) -> Cost:
        """The smallest of so many."""
        found = []
        for _ in range(count):
            wait()
            start, spent = time.perf_counter(), time.process_time()
            step()
            wait()
            found.append((time.perf_counter() - start, time.process_time() - spent))
        return Cost(*(min(column) for column in zip(*found, strict=True)))


def latent_step(eyes: Sequence[Extractor], picture: Tensor) -> Callable[[], None]:
    targets = [eye.encode(picture.flip(-1)).detach() for eye in eyes]

    def step() -> None:
        x = picture.clone().requires_grad_(True)
        for eye, target in zip(eyes, targets, strict=True):
            (eye.encode(x) - target).pow(2).sum().backward()

    return step


def published_step(extractor: Extractor, picture: Tensor, target: Tensor) -> Callable[[], None]:
    judge = lpips.load("vgg", str(picture.device))
    reference = judge.features(picture)
    delta = torch.zeros_like(picture, requires_grad=True)
    optimizer = torch.optim.Adam([delta], 0.01)

    def step() -> None:
        x = picture + delta
        distance = judge.compare(reference, judge.features(x))
        loss = (extractor.encode(x) - target).pow(2).sum() + 30 * (distance - 0.05).clamp_min(0).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def photograph(width: int, height: int, path: Path) -> None:
    """A picture with the spectrum of a photograph: noise at several scales over colour."""
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(1, 3, height, width)
    for size, weight in ((4, 0.5), (32, 0.25), (256, 0.12), (1024, 0.05)):
        noise = torch.rand(1, 3, size, size, generator=generator)
        total += weight * torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")
    array = (total[0].permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy()
    pyvips.Image.new_from_array(array).write_to_file(str(path))


def whole_picture(path: Path, output: Path, device: str, *options: str) -> tuple[Cost, float]:
    """Time and peak MiB of ``velatura protect`` in a process of its own, start-up of the networks included."""
    command = [sys.executable, "-c", ONE_PICTURE, str(path), str(output), device, *options]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    _, cpu, mebibytes = map(float, done.stdout.split())
    return Cost(time.perf_counter() - start, cpu), mebibytes


@contextmanager
def both_cores_busy() -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def quiet(patience: float = 180.0) -> float:
    """The load of the last minute, once what ran before has faded from it; nothing is waited for in vain for long."""
    until = time.monotonic() + patience
    while (load := os.getloadavg()[0]) > QUIET and time.monotonic() < until:
        time.sleep(5)
    return load


def run(args: argparse.Namespace) -> None:
    device = pick_device(args.device)
    load = quiet() if device == "cpu" else os.getloadavg()[0]
    rows: list[Row] = []

    def add(metric: str, value: float, n: int, recipe: str | None = None) -> None:
        rows.append(Row(metric, value, n, recipe=recipe))
        print(f"{metric:36} {recipe or '':24} {value:.4g}", flush=True)

    def cost(what: str, found: Cost, n: int, recipe: str | None = None) -> Cost:
        add(f"{what}_seconds", found.wall, n, recipe)
        add(f"{what}_cpu_seconds", found.cpu, n, recipe)
        return found

    picture = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(1)).to(device)
    surrogate, full = extractors.load("surrogate", device), full_size(device)
    way = tune(surrogate)
    eyes = {"surrogate": [surrogate], "full": [full]}
    if args.weights:
        eyes["distilled"] = [extractors.load(args.weights / name, device, channels_last=True) for name in TEACHERS]
    steps = {}
    for name, several in eyes.items():
        step = latent_step(several, picture)
        step()
        steps[name] = cost("step", Cost.of(args.reference_steps, step), args.reference_steps, name)
    for name in steps.keys() - {"surrogate"}:
        add("step_ratio", steps[name].cpu / steps["surrogate"].cpu, args.reference_steps, name)
    step = published_step(full, picture, full.encode(picture.flip(-1)).detach())
    step()
    once = Cost.of(args.reference_steps, step)
    published = cost("published_recipe", Cost(500 * once.wall, 500 * once.cpu), args.reference_steps)
    timed: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ["0.3", *args.sizes]:
            path, count = Path(folder) / f"{name}.png", args.runs
            photograph(*SIZES[name], path)
            found = [whole_picture(path, Path(folder) / "out", device, "--style", STYLE) for _ in range(count)]
            middle = Cost(*(statistics.median(v) for v in zip(*((c.wall, c.cpu) for c, _ in found), strict=True)))
            timed[name] = cost("picture", middle, count, f"{name} MP")
            add("peak_mib", max(mebibytes for _, mebibytes in found), count, f"{name} MP")
        path = Path(folder) / "0.3.png"
        report = json.loads((Path(folder) / "out/0.3.report.json").read_text())
        for what, seconds in report["seconds"].items():
            add("part_seconds", seconds, 1, what)
        for effort in ("fast", "max"):
            cost(
                "picture",
                whole_picture(path, Path(folder) / "out", device, "--style", STYLE, "-e", effort)[0],
                1,
                effort,
            )
        if device == "cpu":
            with both_cores_busy():
                cost(
                    "picture", whole_picture(path, Path(folder) / "out", device, "--style", STYLE)[0], 1, "others busy"
                )
    # Whole process against bare steps: the comparison is unkind to us, and still the one a user feels.
    add("picture_ratio", published.cpu / timed["0.3"].cpu, args.runs)
    for name in args.sizes:
        add("time_ratio", timed[name].wall / timed["0.3"].wall, args.runs, f"{name} MP to 0.3 MP")
    settings = {
        "picture": "512 x 512",
        "threads": torch.get_num_threads(),
        "processor": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "load_before": load,
        "torch": torch.__version__,
        "default_steps": report["settings"]["cloak"]["steps"],
        "way": way,
        "published_recipe": f"500 steps, multiplied up from {args.reference_steps}",
    }
    flags = [f"other work was running: load {load:.1f} at the start"] if load > QUIET and device == "cpu" else []
    Result("speed", __version__, 0, device, settings, {"surrogate": surrogate.sha256}, rows, flags).save(args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/speed.json"))
    parser.add_argument("--weights", type=Path, help="../shared/weights, for a step through the distilled ones")
    parser.add_argument("--reference-steps", type=int, default=3, help="timed steps of each encoder")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    more = [size for size in SIZES if size != "0.3"]
    parser.add_argument("--sizes", nargs="*", choices=more, default=more, help="megapixels, besides 0.3")
    parser.add_argument("--runs", type=int, default=3, help="of each size; the median counts")
    run(parser.parse_args())
