# SPDX-License-Identifier: GPL-3.0-or-later
"""Model files into Blender data: import, one mesh in world axes, removal of all that came with it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np

from experiments.solid.render.quiet import quiet, run_operator
from suite.errors import BadInput, Missing

COLLECTIONS = ("objects", "meshes", "materials", "images", "armatures", "cameras", "lights", "actions",
"collections",
               "node_groups", "curves")  # fmt: skip


def _importers() -> dict[str, tuple]:
    gltf = (bpy.ops.import_scene.gltf, {"import_scene_as_collection": False, "import_scene_extras": False,
                                        "import_select_created_objects": False})  # fmt: skip
    # An OBJ file is y-up: the importer leaves the data and turns the object, which `world_mesh` applies.
    return {".glb": gltf, ".gltf": gltf, ".obj": (bpy.ops.wm.obj_import, {}), ".stl": (bpy.ops.wm.stl_import,
    {}),
            ".ply": (bpy.ops.wm.ply_import, {})}  # fmt: skip


SUFFIXES = (".glb", ".gltf", ".obj", ".stl", ".ply")


_generation = 0  # of the open file


def reset_blender() -> int:
    """An empty file with factory settings; returns its number. Every reference to data of before is dead."""
    global _generation
    _generation += 1
    with quiet():
        bpy.ops.wm.read_factory_settings(use_empty=True)
    return _generation


def current_file() -> int:
    """The number of the open file."""
    return _generation


def import_objects(path: Path) -> list[bpy.types.Object]:
    """Import a GLB, GLTF, OBJ, STL or PLY file; its mesh objects sorted by name.

    Raises Missing if the file is not there, BadInput if Blender cannot read it or finds no mesh with a face
    in it.
    """
    path = Path(path)
    if not path.is_file():
        raise Missing("no such file", file=path, fix="run the stage that makes it again")
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(
            f"cannot read {path.suffix!r} files", file=path, fix=f"use one of {' '.join(SUFFIXES)}"
        )
    before = set(bpy.data.objects)
    operator, settings = _importers()[path.suffix.lower()]
    reason = run_operator(operator, filepath=str(path), **settings)
    for name in (
        "glTFImporter",
        "glTFImporter_errors",
    ):  # an import that fails leaves its log handlers behind
        logging.getLogger(name).handlers.clear()
    if reason:
        raise BadInput(f"Blender cannot read it ({reason})", file=path, fix="repair or remove the file")
    bpy.context.view_layer.update()  # matrix_world is stale until then
    found = sorted(set(bpy.data.objects) - before, key=lambda o: o.name)
    meshes = [o for o in found if o.type == "MESH" and len(o.data.polygons)]
    if not meshes:
        raise BadInput("holds no mesh with a face", file=path, fix="repair or remove the file")
    return meshes


@contextmanager
def discarding() -> Iterator[set]:
    """Remove all data that appeared within the block, but what the block adds to the set it is given."""
    before = {kind: set(getattr(bpy.data, kind)) for kind in COLLECTIONS}
    kept: set = set()
    try:
        yield kept
    finally:
        new = [block for kind in COLLECTIONS for block in set(getattr(bpy.data, kind)) - before[kind]]
        remove(block for block in new if block not in kept)


def remove(blocks: Iterable[bpy.types.ID]) -> None:
    """Delete data-blocks whatever still uses them."""
    bpy.data.batch_remove(ids=list(blocks))


def world_mesh(obj: bpy.types.Object) -> bpy.types.Mesh:
    """A copy of the object's mesh with the object's transform applied."""
    mesh = obj.data.copy()
    mesh.transform(obj.matrix_world)
    if obj.matrix_world.determinant() < 0:
        mesh.flip_normals()
    return mesh


def mesh_vertices(mesh: bpy.types.Mesh) -> np.ndarray:
    """Vertex positions (V, 3) float32."""
    vertices = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
    mesh.vertices.foreach_get("co", vertices)
    return vertices.reshape(-1, 3)


def mesh_triangles(mesh: bpy.types.Mesh) -> np.ndarray:
    """Vertex numbers (F, 3) int32 of the triangulated faces."""
    mesh.calc_loop_triangles()
    faces = np.empty(len(mesh.loop_triangles) * 3, dtype=np.int32)
    mesh.loop_triangles.foreach_get("vertices", faces)
    return faces.reshape(-1, 3)


def images_of(materials: Iterable[bpy.types.Material | None]) -> set[bpy.types.Image]:
    """The pictures that the node trees of some materials use."""
    return {node.image for m in materials for node in texture_nodes(m) if node.image is not None}


def texture_nodes(material: bpy.types.Material | None) -> list[bpy.types.Node]:
    """The image-texture nodes of a material."""
    if material is None or material.node_tree is None:
        return []
    return [node for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]
