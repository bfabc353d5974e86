# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices that Cycles can render on, and a small picture from the best of them.

    python -m experiments.solid.render.devices

Prints one line per device and one for the picture. Exit codes: 0 a GPU rendered; 3 Cycles sees no GPU.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import bpy

from suite.errors import Missing, SuiteError, guard

BACKENDS = ("OPTIX", "CUDA")  # best first: OptiX uses the card's ray-tracing units
SIDE = 32  # of the picture, in pixels


def preferences() -> bpy.types.AddonPreferences:
    """Cycles' own, which hold the devices (tests put a fake list in their place)."""
    return bpy.context.preferences.addons["cycles"].preferences


def cycles_devices() -> dict[str, list[str]]:
    """Names of the devices by kind: CPU and whichever of BACKENDS has any."""
    settings = preferences()
    found: dict[str, list[str]] = {}
    for backend in BACKENDS:
        for device in settings.get_devices_for_type(backend):
            names = found.setdefault(device.type, [])
            if device.name not in names:
                names.append(device.name)
    return found


def select_gpu(backend: str) -> None:
    """Make Cycles render on every device of `backend` and on nothing else."""
    settings = preferences()
    settings.compute_device_type = backend
    for device in settings.get_devices_for_type(backend):
        device.use = device.type == backend
    bpy.context.scene.cycles.device = "GPU"


def in_use(backend: str) -> list[str]:
    """Names of the devices that Cycles renders on: of "CPU", or of what `select_gpu` chose. May be empty."""
    devices = preferences().get_devices_for_type(BACKENDS[-1] if backend == "CPU" else backend)
    return [device.name for device in devices if device.type == backend and (device.use or backend == "CPU")]


def render_white_plane() -> float:
    """Mean pixel value of a picture that an emitting plane fills: 1.0 where the kernels work."""
    bpy.ops.mesh.primitive_plane_add(size=10)
    material = bpy.data.materials.new("emitter")
    material.use_nodes = True
    nodes = material.node_tree.nodes
    emission = nodes.new("ShaderNodeEmission")
    material.node_tree.links.new(emission.outputs[0], nodes["Material Output"].inputs["Surface"])
    bpy.context.object.data.materials.append(material)
    bpy.ops.object.camera_add(location=(0, 0, 2))
    scene = bpy.context.scene
    scene.camera = bpy.context.object
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.view_settings.view_transform = "Raw"
    scene.render.resolution_x = scene.render.resolution_y = SIDE
    with tempfile.TemporaryDirectory() as folder:
        scene.render.image_settings.file_format = "OPEN_EXR"
        scene.render.filepath = str(Path(folder) / "plane.exr")
        bpy.ops.render.render(write_still=True)
        picture = bpy.data.images.load(scene.render.filepath)
        picture.colorspace_settings.name = "Non-Color"
        pixels = list(picture.pixels)
    return sum(value for index, value in enumerate(pixels) if index % 4 < 3) / (SIDE * SIDE * 3)


def main() -> int:
    """Command line: see the module docstring."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    found = cycles_devices()
    for kind, names in sorted(found.items()):
        print(f"blender: Cycles {kind}: {', '.join(names)}")
    backend = next((name for name in BACKENDS if found.get(name)), None)
    if backend is None:
        raise Missing("Cycles sees no GPU", fix="see docs/gpu.md")
    select_gpu(backend)
    mean = render_white_plane()
    if abs(mean - 1.0) > 0.01:
        raise SuiteError(
            f"{backend} rendered a white plane as {mean:.3f}", fix="see the driver floor in docs/gpu.md"
        )
    print(f"blender: {backend}: rendered {SIDE}x{SIDE} pixels, right")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main))
