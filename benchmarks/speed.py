"""What a picture costs: gradient steps, whole pictures, and memory, beside a full-size Stable Diffusion 1.5 encoder.

    python benchmarks/speed.py -o results/speed.json
    python benchmarks/speed.py -o results/speed-cuda.json --device cuda --reference-steps 20 --runs 1 --sizes 1

Run it with nothing else running. The full-size encoder is the SD 1.5 layout with random weights: a step costs the same
whatever the weights are. The published recipe (500 steps of Adam with LPIPS-VGG, as in the IMPRESS repository) is timed
for ``--reference-steps`` steps and multiplied up; a whole default picture is timed as it is, from file to file.
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
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pyvips
import torch
from torch import Tensor

from velatura import __version__
from velatura.diffusion import extractors
from velatura.diffusion.device import pick_device, processor
from velatura.diffusion.extractors import Extractor, Precision
from velatura.perception import lpips
from velatura.protect.settings import EFFORTS, for_larger_files
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
ONE_PICTURE = """
import sys, time
from velatura.cli import main
start = time.perf_counter()
source, output, device = sys.argv[1:]
sys.argv = ["velatura", "protect", source, "-o", output, "--device", device, "-m", "mini", "--force", "-q"]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss is inherited
print(time.perf_counter() - start, int(peak.split()[1]) / 1024)
"""


SIZES = {"0.3": (512, 512), "1": (1224, 816), "24": (6000, 4000)}  # megapixels


def full_size(device: str) -> Extractor:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    return Extractor(AutoencoderKL(**SD15_VAE).to(device), "random weights in SD 1.5's layout", "0" * 64)


def wait() -> None:
    """For the GPU, which works while Python goes on."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def best_of(count: int, step: Callable[[], None]) -> float:
    seconds = []
    for _ in range(count):
        wait()
        start = time.perf_counter()
        step()
        wait()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def latent_step(extractor: Extractor, picture: Tensor, target: Tensor) -> Callable[[], None]:
    def step() -> None:
        x = picture.clone().requires_grad_(True)
        (extractor.encode(x) - target).pow(2).sum().backward()

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


def whole_picture(path: Path, output: Path, device: str) -> tuple[float, float]:
    """Seconds and peak MiB of ``velatura protect`` in a process of its own, start-up of the networks included."""
    command = [sys.executable, "-c", ONE_PICTURE, str(path), str(output), device]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, mebibytes = map(float, done.stdout.split())
    return seconds, mebibytes


def quiet(patience: float = 180.0) -> float:
    """The load of the last minute, once what ran before has faded from it; nothing is waited for in vain for long."""
    until = time.monotonic() + patience
    while (load := os.getloadavg()[0]) > QUIET and time.monotonic() < until:
        time.sleep(5)
    return load


def run(output: Path, reference_steps: int, device: str, chosen: list[str], count: int) -> None:
    device = pick_device(device)
    load = quiet() if device == "cpu" else os.getloadavg()[0]
    mini, full = extractors.load("mini", device), full_size(device)
    picture = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(1)).to(device)
    rows: list[Row] = []

    def add(metric: str, value: float, n: int, recipe: str | None = None) -> None:
        rows.append(Row(metric, value, n, recipe=recipe))
        print(f"{metric:36} {recipe or '':8} {value:.4g}", flush=True)

    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    published = {}
    for precision in precisions:
        steps = {}
        for extractor in (mini, full):
            extractor.precision = precision
            target = extractor.encode(picture.flip(-1)).detach()
            step = latent_step(extractor, picture, target)
            best = []
            for layout in (torch.contiguous_format, torch.channels_last):  # each network in the layout that suits it
                extractor.module.to(memory_format=layout)
                step()
                best.append((best_of(reference_steps, step), layout))
            steps[extractor.name], layout = min(best, key=lambda pair: pair[0])
            extractor.module.to(memory_format=layout)
        add("step_seconds_mini", steps[mini.name], reference_steps, precision)
        add("step_seconds_full", steps[full.name], reference_steps, precision)
        add("step_ratio", steps[full.name] / steps[mini.name], reference_steps, precision)
        step = published_step(full, picture, full.encode(picture.flip(-1)).detach())
        step()
        published[precision] = 500 * best_of(reference_steps, step)
        add("published_recipe_seconds", published[precision], reference_steps, precision)
    with tempfile.TemporaryDirectory() as folder:
        timed = {}
        for name in chosen:
            path = Path(folder) / f"{name}.png"
            photograph(*SIZES[name], path)
            runs = [whole_picture(path, Path(folder) / "out", device) for _ in range(count)]
            timed[name] = statistics.median(seconds for seconds, _ in runs)
            add("picture_seconds", timed[name], count, f"{name} MP")
            add("peak_mib", max(mebibytes for _, mebibytes in runs), count, f"{name} MP")
            if name == "0.3":
                report = json.loads((Path(folder) / f"out/{name}.report.json").read_text())
    for precision in precisions:
        # Whole process against bare steps: the comparison is unkind to us, and still the one a user feels.
        add("picture_ratio", published[precision] / timed["0.3"], count, precision)
    if timed.keys() >= {"1", "24"}:
        add("time_ratio_24mp_to_1mp", timed["24"] / timed["1"], count)
    settings = {
        "picture": "512 x 512",
        "threads": torch.get_num_threads(),
        "processor": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "load_before": load,
        "torch": torch.__version__,
        "larger_files": asdict(for_larger_files(EFFORTS["default"])),
        "default_steps": report["settings"]["cloak"]["steps"],
        "default_precision": report["precision"],
        "published_recipe": f"500 steps, multiplied up from {reference_steps}",
    }
    flags = [f"other work was running: load {load:.1f} at the start"] if load > QUIET and device == "cpu" else []
    Result("speed", __version__, 0, device, settings, {"mini": mini.sha256}, rows, flags).save(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/speed.json"))
    parser.add_argument("--reference-steps", type=int, default=3, help="timed steps of the full-size encoder")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    more = [size for size in SIZES if size != "0.3"]
    parser.add_argument("--sizes", nargs="*", choices=more, default=more, help="megapixels, besides 0.3")
    parser.add_argument("--runs", type=int, default=3, help="of each size; the median counts")
    args = parser.parse_args()
    run(args.output, args.reference_steps, args.device, ["0.3", *args.sizes], args.runs)
