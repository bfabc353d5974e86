# SPDX-License-Identifier: GPL-3.0-or-later
"""Models, rooms and pictures stay loaded between scenes, the least recently used ones within a budget of
memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from experiments.solid.library import MeshLibrary, Room, Surface
from experiments.solid.render.importing import (
    discarding,
    images_of,
    import_objects,
    mesh_vertices,
    remove,
)
from experiments.solid.render.materials import make_emitter, principled, texture_slot
from experiments.solid.render.textures import load_texture, shrink
from suite.errors import BadInput

BYTES_PER_VERTEX, BYTES_PER_PIXEL = 200, 4  # rough: positions, normals, UVs, corners, topology; 8-bit RGBA
GEOMETRY_TOLERANCE = 1e-4  # of the extent, between a class's GLB and NPZ


@dataclass(frozen=True, eq=False)
class Entry:
    """Something loaded: the value, the data-blocks that go when it is dropped, its approximate size in
    memory.
    """

    value: object
    blocks: tuple[bpy.types.ID, ...]
    num_bytes: int


class Cache:
    """Least-recently-used entries by key. `trim` is called between scenes: nothing in use is dropped."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()

    def get(self, key: Hashable, load: Callable[[], Entry]) -> object:
        """The value of `key`, loaded if it is not there."""
        if key not in self._entries:
            self._entries[key] = load()
        self._entries.move_to_end(key)
        return self._entries[key].value

    @property
    def num_bytes(self) -> int:
        """Approximate size of all entries."""
        return sum(entry.num_bytes for entry in self._entries.values())

    def trim(self) -> None:
        """Drop entries, the oldest first, until the budget holds."""
        total = self.num_bytes
        while total > self.budget_bytes and self._entries:
            _, entry = self._entries.popitem(last=False)
            total -= entry.num_bytes
            remove(entry.blocks)


def load_mesh(meshes: MeshLibrary, class_id: int, texture_limit: int) -> Entry:
    """The cleaned mesh of a class with its materials. Raises Missing or BadInput, also if GLB and NPZ
    differ.
    """
    path = meshes.folder / meshes.classes[class_id]["glb"]
    with discarding() as kept:
        objects = import_objects(path)
        mesh = objects[0].data
        expected = meshes.vertices(class_id)
        vertices = mesh_vertices(mesh)
        tolerance = GEOMETRY_TOLERANCE * meshes.extents[class_id].max()
        same = len(objects) == 1 and vertices.shape == expected.shape
        if not same or np.abs(vertices - expected).max() > tolerance:
            raise BadInput(
                "its geometry differs from the .npz beside it", file=path, fix="run the stage `clean` again"
            )
        materials = [m for m in mesh.materials if m is not None]
        images = images_of(materials)
        blocks = (mesh, *dict.fromkeys(materials), *images)
        kept.update(blocks)
    shrink(images, texture_limit)
    return _entry(mesh, blocks, f"class {class_id}", len(vertices), images)


@dataclass(frozen=True, eq=False)
class LoadedRoom:
    """A room's objects, not linked to any scene, and the nodes to set for a scene."""

    objects: tuple[bpy.types.Object, ...]
    textures: dict[str, tuple[bpy.types.Node, ...]]  # material -> image nodes
    emissions: dict[str, tuple[bpy.types.Node, ...]]  # ceiling surface -> emission nodes


def load_room(room: Room) -> Entry:
    """A room at its place in the world, its ceilings emitting. Raises Missing or BadInput."""
    with discarding() as kept:
        objects = import_objects(room.glb)
        if [o.name for o in objects] != [s.name for s in room.surfaces]:
            raise BadInput(
                "its objects are not those of rooms.json", file=room.glb, fix="run the stage `rooms` again"
            )
        originals = {m.name: m for o in objects for m in o.data.materials if m is not None}
        emissions: dict[str, tuple[bpy.types.Node, ...]] = {}
        slots: dict[str, list[bpy.types.Node]] = {
            name: [texture_slot(m)] for name, m in originals.items() if name in room.materials
        }
        for obj, surface in zip(objects, room.surfaces, strict=True):
            obj.parent, obj.matrix_world = None, Matrix(room.matrix.tolist()) @ obj.matrix_world
            obj.pass_index = 0
            for (
                collection
            ) in obj.users_collection:  # of the importer; a renderer links the room when it is wanted
                collection.objects.unlink(obj)
            if surface.kind == "ceiling":
                emissions[surface.name] = tuple(_emitting_copies(obj, surface, slots))
        meshes = dict.fromkeys(o.data for o in objects)
        materials = dict.fromkeys(m for o in objects for m in o.data.materials if m is not None)
        images = images_of((*materials, *originals.values()))
        blocks = (*objects, *meshes, *dict.fromkeys((*materials, *originals.values())), *images)
        kept.update(blocks)
    value = LoadedRoom(tuple(objects), {n: tuple(s) for n, s in slots.items()}, emissions)
    return _entry(value, blocks, f"room {room.id}", sum(len(m.vertices) for m in meshes), images)


def _emitting_copies(obj: bpy.types.Object, surface: Surface, slots: dict[str, list[bpy.types.Node]]):
    """Give a ceiling materials of its own that emit; yields their emission nodes, adds their image nodes to
    `slots`.
    """
    if obj.data.users > 1:
        obj.data = obj.data.copy()
    if not obj.data.materials:
        obj.data.materials.append(None)
    for index, material in enumerate(obj.data.materials):
        copy = bpy.data.materials.new(surface.name) if material is None else material.copy()
        principled(copy)
        if material is not None and material.name in slots:
            slots[material.name].append(texture_slot(copy))
        obj.data.materials[index] = copy
        yield make_emitter(copy)


def load_picture(path: Path, folder: Path, texture_limit: int) -> Entry:
    """A room texture."""
    image = load_texture(path, folder, texture_limit)
    return Entry(image, (image,), image.size[0] * image.size[1] * BYTES_PER_PIXEL)


def _entry(
    value: object, blocks: tuple, label: str, num_vertices: int, images: set[bpy.types.Image]
) -> Entry:
    for block in blocks:  # a later import finds the names free, so it gets its own
        block.name = f"{label}: {block.name}"
    pixels = sum(image.size[0] * image.size[1] for image in images)
    return Entry(value, blocks, num_vertices * BYTES_PER_VERTEX + pixels * BYTES_PER_PIXEL)
