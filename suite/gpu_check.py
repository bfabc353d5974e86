"""One kernel of a framework on the GPU, checked against numpy: does this environment compute on this GPU?

    python -m suite.gpu_check --toolchain blender|detectron2|tensorflow|jax

Run it with the Python of the toolchain (`make gpu-check` does so for each). Prints one line per device. For
blender it lists the Cycles devices and renders one small picture on the best of them. Takes seconds.
Exit codes: 0 computed and right; 1 the GPU computed something else; 2 the wrong environment for that
toolchain; 3 no GPU, with the remedy.
Not covered: speed, several GPUs working together, the whole of a framework.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable

from suite.errors import BadInput, Missing, SuiteError, guard

SIDE = 256  # of the square matrices, in elements
TOLERANCE = 0.05  # on products of 256 terms in [-1, 1]; wide enough for TF32 units, far below a wrong kernel
REMEDY = ("check that `nvidia-smi` works, that the driver is new enough and that the container got the GPU"
          " (docs/gpu.md); `make doctor` names what is missing; ACCEL=cpu runs without")
MODULES = {"blender": "bpy", "detectron2": "torch", "tensorflow": "tensorflow", "jax": "jax"}


def matrices():
    """Two float32 matrices (SIDE, SIDE) in [-1, 1] and their product computed by numpy in float64."""
    import numpy as np

    rng = np.random.default_rng(0)
    left, right = (rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32) for _ in range(2))
    return left, right, left.astype(np.float64) @ right.astype(np.float64)


def compare(name: str, device: str, product) -> str:
    """The line that says the product is right; raises SuiteError where the GPU computed something else."""
    import numpy as np

    error = float(np.abs(np.asarray(product) - matrices()[2]).max())
    if not error < TOLERANCE:  # a NaN fails as well
        raise SuiteError(f"{name}: {device} computed a wrong matrix product (largest error {error:.3g})",
                         fix="this driver and these wheels do not fit; see the driver floor in docs/gpu.md")
    return f"{name}: {device}: matrix product right to {error:.1e}"


def check_torch() -> list[str]:
    """A matrix product and torchvision's NMS on every CUDA device."""
    import torch
    from torchvision.ops import nms

    if not torch.cuda.is_available():
        raise Missing("detectron2: torch sees no CUDA device", fix=REMEDY)
    left, right, _ = matrices()
    lines = []
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        product = torch.from_numpy(left).to(device) @ torch.from_numpy(right).to(device)
        line = compare("detectron2", torch.cuda.get_device_name(index), product.cpu().numpy())
        boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], device=device)
        kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5).tolist()
        if kept != [0, 2]:
            raise SuiteError(f"detectron2: torchvision's NMS kept {kept}, expected [0, 2]", fix=REMEDY)
        lines.append(line + ", NMS right")
    return lines


def check_tensorflow() -> list[str]:
    """A matrix product on every GPU that TensorFlow sees."""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    if not found:
        cpu_wheel = "" if tf.test.is_built_with_cuda() else " (this is the cpu wheel: build with ACCEL=cuda)"
        raise Missing(f"tensorflow: no GPU device{cpu_wheel}", fix=REMEDY)
    left, right, _ = matrices()
    lines = []
    for index, device in enumerate(found):
        name = tf.config.experimental.get_device_details(device).get("device_name", device.name)
        with tf.device(f"/GPU:{index}"):
            lines.append(compare("tensorflow", name, tf.linalg.matmul(left, right).numpy()))
    return lines


def check_jax() -> list[str]:
    """A compiled matrix product on every GPU that JAX sees."""
    import jax

    found = [device for device in jax.devices() if device.platform == "gpu"]
    if not found:
        has_plugin = importlib.util.find_spec("jax_cuda12_plugin") is not None
        cpu_wheel = "" if has_plugin else " (these are the cpu wheels: build with ACCEL=cuda)"
        raise Missing(f"jax: no GPU device{cpu_wheel}", fix=REMEDY)
    left, right, _ = matrices()
    product = jax.jit(lambda a, b: a @ b)
    return [compare("jax", device.device_kind, product(*jax.device_put((left, right), device)))
            for device in found]


def check_blender() -> list[str]:
    """The Cycles devices and a small render on the GPU, by the one package that may import bpy."""
    command = [sys.executable, "-m", "experiments.solid.render.devices"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == Missing.exit_code:
        raise Missing("blender: Cycles sees no GPU", fix=REMEDY)
    if done.returncode:
        raise SuiteError(f"blender: {(done.stderr.strip().splitlines() or ['no output'])[-1]}", fix=REMEDY)
    return [line for line in done.stdout.splitlines() if line.startswith("blender:")]


CHECKS: dict[str, Callable[[], list[str]]] = {
    "blender": check_blender, "detectron2": check_torch, "tensorflow": check_tensorflow, "jax": check_jax,
}


def main(arguments: list[str] | None = None) -> int:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(prog="python -m suite.gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--toolchain", choices=sorted(CHECKS), default=os.environ.get("SYNDET_TOOLCHAIN"),
                        help="whose framework to try (default: that of the image this runs in)")
    name = parser.parse_args(arguments).toolchain
    if name not in CHECKS:
        raise BadInput("no toolchain given", fix=f"add --toolchain, one of {', '.join(sorted(CHECKS))}")
    if importlib.util.find_spec(MODULES[name]) is None:
        raise BadInput(f"{sys.executable} has no {MODULES[name]}",
                       fix=f"run it in the {name} image or with .tox/{name}/bin/python")
    for line in CHECKS[name]():
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main))
