"""Checks of the GPU and its driver."""

from __future__ import annotations

from pathlib import Path

from suite.doctor.context import Context, version
from suite.doctor.result import MISSING, OK, WARN, Result

# Lowest driver of each toolchain, and what asks for it; the images carry the numbers as syndet.min-driver.
DRIVER_FLOOR = {
    "blender": (535, "Cycles with OptiX"),
    "detectron2": (580, "CUDA 13 wheels of torch"),
    "tensorflow": (525, "CUDA 12 wheels"),
    "jax": (525, "CUDA 12 wheels"),
}
KERNEL_DRIVER = Path("/proc/driver/nvidia/version")


def check_gpu(context: Context) -> Result:
    """A GPU with a driver that answers."""
    why = "scales small and paper need one; smoke runs on the CPU"

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result("gpu", "gpu", "GPU", state, value, why, remedy)

    if context.gpus:
        first = context.gpus[0]
        return line(OK, f"{len(context.gpus)} x {first.name}, {first.memory}, driver {first.driver}")
    if context.nvidia_smi.found:
        remedy = "restart the machine after a driver update, or install the driver again"
        return line(WARN, f"nvidia-smi: {context.nvidia_smi.complaint}", remedy)
    if KERNEL_DRIVER.exists():
        return line(WARN, "the kernel driver is loaded, but nvidia-smi is missing", "install nvidia-smi")
    return line(WARN, "no GPU: everything runs on the CPU", "none needed for smoke; else see docs/gpu.md")


def check_drivers(context: Context) -> list[Result]:
    """The driver against the floor of each toolchain's wheels; nothing to say without a GPU."""
    if not context.gpus:
        return []
    driver = min((gpu.driver for gpu in context.gpus), key=version)
    found = version(driver)
    results = []
    for toolchain in context.toolchains:
        floor, reason = DRIVER_FLOOR[toolchain]
        why = f"{reason} need driver {floor} or newer"
        name, title = f"driver-{toolchain}", f"driver for {toolchain}"
        if found and found[0] >= floor:
            results.append(Result(name, "gpu", title, OK, f"{driver}, floor {floor}", why))
        else:
            remedy = f"install an NVIDIA driver {floor} or newer, or use DEVICE=cpu"
            results.append(Result(name, "gpu", title, MISSING, f"{driver} is below {floor}", why, remedy))
    return results
