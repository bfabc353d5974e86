# SPDX-License-Identifier: GPL-3.0-or-later
"""What a room file holds, as arrays: the one loader of procedural and SceneNet rooms.

Objects are sorted by name and classed by the NYU names of `rooms/nyu.py`. Floors, walls and ceilings together
are scaled to footprint x footprint x height about their joint centre, each axis by itself, then moved so that
their bounding box is centred at x = y = 0 and the lowest floor point lies at z = 0 [published code]. The same
matrix moves whatever else the file holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from experiments.solid.config import SolidConfig
from experiments.solid.render.importing import (
    discarding,
    import_objects,
    mesh_triangles,
    mesh_vertices,
    texture_nodes,
)
from experiments.solid.rooms.nyu import surface_kind
from suite.errors import BadInput

MIN_EXTENT = 1e-6  # a room flatter than this along an axis cannot be scaled to its height


@dataclass(frozen=True, eq=False)
class ScannedRoom:
    """A room after rescaling and centring. `surface` and the order of `surfaces` follow the sorted object
    names.
    """

    triangles: np.ndarray  # (T, 3, 3) float32, world space
    surface: np.ndarray  # (T,) int32, index into surfaces
    surfaces: tuple[dict, ...]  # {"name", "kind": wall|floor|ceiling|other, "materials": [name, ...]}
    textured: tuple[str, ...]  # sorted names of the materials that take a random texture
    matrix: np.ndarray  # (4, 4) float64, applied to the imported objects


def scan_room(glb_path: Path, config: SolidConfig) -> ScannedRoom:
    """Import a room file and measure it; Blender's data is as before afterwards.

    Raises Missing if there is no such file, BadInput if it cannot be read, has no floor or no extent.
    """
    glb_path = Path(glb_path)
    with discarding():
        objects = import_objects(glb_path)
        surfaces = tuple(_describe(o) for o in objects)
        parts = [_world_triangles(o) for o in objects]
        textured = {m.name for o in objects for m in o.data.materials if takes_texture(m)}
    kinds = [s["kind"] for s in surfaces]
    matrix = room_matrix(parts, kinds, config.rooms.footprint, config.rooms.height, file=glb_path)
    triangles = np.concatenate(parts) @ matrix[:3, :3].T + matrix[:3, 3]
    surface = np.repeat(np.arange(len(parts), dtype=np.int32), [len(p) for p in parts])
    return ScannedRoom(triangles.astype(np.float32), surface, surfaces, tuple(sorted(textured)), matrix)


def takes_texture(material: bpy.types.Material | None) -> bool:
    """Whether a random texture replaces the material's own: it has at most one [published code]."""
    return material is not None and len(texture_nodes(material)) <= 1


def room_matrix(
    parts: list[np.ndarray], kinds: list[str], footprint: float, height: float, *, file: Path
) -> np.ndarray:
    """The 4x4 matrix that scales and centres a room of objects with triangles (T, 3, 3) each."""
    shell = [part for part, kind in zip(parts, kinds, strict=True) if kind != "other"]
    floors = [part for part, kind in zip(parts, kinds, strict=True) if kind == "floor"]
    if not floors:
        raise BadInput("the room has no floor", file=file, fix="name one of its objects `floor`")
    points = np.concatenate(shell).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise BadInput(
            "the room has vertices that are not numbers", file=file, fix="repair or remove the file"
        )
    low, high = points.min(axis=0), points.max(axis=0)
    if (high - low).min() < MIN_EXTENT:
        raise BadInput(
            f"the room is flat: extent {(high - low).tolist()}", file=file, fix="give it walls and a floor"
        )
    scale = np.array([footprint, footprint, height]) / (high - low)
    matrix = np.diag([*scale, 1.0])
    matrix[:2, 3] = -scale[:2] * (low + high)[:2] / 2
    matrix[2, 3] = -scale[2] * min(part[..., 2].min() for part in floors)
    return matrix


def _describe(obj: bpy.types.Object) -> dict:
    names = [m.name for m in obj.data.materials if m is not None]
    return {"name": obj.name, "kind": surface_kind(obj.name), "materials": list(dict.fromkeys(names))}


def _world_triangles(obj: bpy.types.Object) -> np.ndarray:
    """Triangles (T, 3, 3) float64 of the object where it stands."""
    matrix = np.array(obj.matrix_world, dtype=np.float64)
    vertices = mesh_vertices(obj.data).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    return vertices[mesh_triangles(obj.data)]
