# SPDX-License-Identifier: GPL-3.0-or-later
"""Render a folder of models as one picture, to look at: textures upside down, missing, or the wrong way up.

    python -m assets.make.contact_sheet assets/meshes out.png --side pretrain      # needs bpy

Models stand in rows in the order of split.json (or of their folder names), each scaled into a unit cube.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import bpy
from mathutils import Matrix, Vector

from suite.errors import guard

SPACING = 1.5


def place(path: Path, column: int, row: int) -> None:
    """Import an OBJ file and scale it into the unit cube of its cell."""
    bpy.ops.wm.obj_import(filepath=str(path), forward_axis="Y", up_axis="Z", validate_meshes=True)
    objects = [thing for thing in bpy.context.selected_objects if thing.type == "MESH"]
    corners = [thing.matrix_world @ Vector(corner) for thing in objects for corner in thing.bound_box]
    low = Vector(min(c[k] for c in corners) for k in range(3))
    high = Vector(max(c[k] for c in corners) for k in range(3))
    scale = 1 / max(high - low)
    up = math.pi / 2 if path.parent.name in Y_UP else 0.0
    cell = Vector((column * SPACING, 0, -row * SPACING))
    move = (
        Matrix.Translation(cell)
        @ Matrix.Rotation(math.radians(25), 4, "X")
        @ Matrix.Rotation(math.radians(35), 4, "Z")
    )
    move = move @ Matrix.Rotation(up, 4, "X") @ Matrix.Scale(scale, 4) @ Matrix.Translation(-(low + high) / 2)
    for thing in objects:
        thing.matrix_world = move @ thing.matrix_world


# Only for this picture: models whose y axis points up. The data stay as they are, poses are random anyway.
Y_UP = frozenset(
    "barrel barrier building cone keycard medkit office_chair office_desk potion tree tree_pine key milk "
    "bottle".split()
)


def light_and_camera(columns: int, rows: int) -> None:
    """Orthographic camera over all cells, a sun and a grey world."""
    scene = bpy.context.scene
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.type = "ORTHO"
    camera.data.ortho_scale = SPACING * max(columns, rows * 16 / 9)
    camera.location = ((columns - 1) * SPACING / 2, -20, -(rows - 1) * SPACING / 2)
    camera.rotation_euler = (math.pi / 2, 0, 0)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy = 3
    sun.rotation_euler = (math.radians(50), 0, math.radians(-30))
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (0.5, 0.5, 0.55, 1)
    scene.world, scene.camera = world, camera
    for thing in (camera, sun):
        scene.collection.objects.link(thing)


def render(folder: Path, out: Path, names: list[str], columns: int) -> None:
    """Render the named models into `out` (PNG)."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    rows = math.ceil(len(names) / columns)
    for k, name in enumerate(names):
        place(folder / "models" / name / "model.obj", k % columns, k // columns)
    light_and_camera(columns, rows)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 24, True
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x, scene.render.resolution_y = 1600, 900
    scene.render.filepath = str(out.resolve())
    bpy.ops.render.render(write_still=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render a folder of models as one picture.")
    parser.add_argument("folder", type=Path, help="holds models/<id>/model.obj and perhaps split.json")
    parser.add_argument("out", type=Path, help="the PNG to write")
    parser.add_argument("--side", help="only this side of split.json")
    parser.add_argument("--columns", type=int, default=8)
    options = parser.parse_args()
    names = sorted(path.name for path in (options.folder / "models").iterdir())
    if options.side:
        names = json.loads((options.folder / "split.json").read_text(encoding="utf-8"))[options.side]
    print(*names)
    render(options.folder, options.out, names, options.columns)


if __name__ == "__main__":
    sys.exit(guard(main))
