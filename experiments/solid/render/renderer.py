# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes into pixels: `Renderer.target` and `Renderer.query`.

Two Blender scenes share the same objects: one renders the picture, the other the id map, whose one material
shows the number of an object. So nothing is swapped and restored between the passes. Models, rooms and
textures stay loaded within a budget of memory; what belongs to one scene only is removed after it.

Not covered: two renderers at work by turns in one process load their models anew at each turn (Blender has
one file open).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector
from PIL import Image

from experiments.solid.config import SolidConfig
from experiments.solid.layout.scene import AreaLight, Camera, PlacedObject, Scene, Shot
from experiments.solid.library import MeshLibrary, RoomLibrary
from experiments.solid.render import cycles
from experiments.solid.render.cache import Cache, LoadedRoom, load_mesh, load_picture, load_room
from experiments.solid.render.devices import in_use
from experiments.solid.render.importing import current_file, remove, reset_blender
from experiments.solid.render.materials import grey_world, id_material, set_world
from experiments.solid.render.quiet import quiet, run_operator
from experiments.solid.render.scratch import Scratch
from experiments.solid.render.solo import group_border, solo_groups
from suite.errors import BadInput

CACHE_BYTES = 1 << 30  # for models, rooms and textures, each
POINT_LIGHT_RADIUS = 0.25  # factory setting of 2.93; 4.5 has 0


@dataclass(frozen=True, eq=False)
class RenderedTarget:
    """A target picture and what it takes to annotate it."""

    rgb: np.ndarray  # (H, W, 3) uint8
    ids: np.ndarray  # (H, W) int32: 0 background or room, k = scene.objects[k - 1]
    # (n,) int32: pixels of each object when nothing else is there; 0 for an object that `ids` does not show
    solo_areas: np.ndarray


@dataclass(frozen=True, eq=False)
class RenderedView:
    """One view of a query, not cropped."""

    rgb: np.ndarray  # (S, S, 3) uint8
    mask: np.ndarray  # (S, S) bool


class Renderer:
    """Renders scenes of one mesh library and, for targets, one room library.

    device: "cpu" or "cuda" (raises Missing if Cycles sees no GPU). threads: CPU threads, None for all this
    process may use; pixels do not depend on it. `seconds` adds up the time of each phase: load, rgb, id,
    solo. `backend` is CPU, OPTIX or CUDA; `rendered_on` also names the devices.
    """

    def __init__(
        self,
        config: SolidConfig,
        meshes: MeshLibrary,
        rooms: RoomLibrary | None,
        device: str = "cpu",
        *,
        threads: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config, self.meshes, self.rooms, self.device = config, meshes, rooms, device
        self.threads, self.cache_bytes = threads or cycles.available_threads(), cache_bytes
        self.seconds: Counter[str] = Counter()
        self._clock = clock
        self.scratch = Scratch()
        self._open()

    def _open(self) -> None:
        """Take Blender over: an empty file with the two scenes, the shared collection, camera and worlds."""
        self._file = reset_blender()
        with quiet():
            self.backend = cycles.select_device(self.device)
            self.rendered_on = f"{self.backend}: {', '.join(in_use(self.backend)) or 'unnamed'}"
        self._meshes, self._rooms, self._pictures = (Cache(self.cache_bytes) for _ in range(3))
        self._picture, self._ids = bpy.context.scene, bpy.data.scenes.new("ids")
        self._content = bpy.data.collections.new("content")
        self._lights = bpy.data.collections.new("lights")
        self._camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        self._content.objects.link(self._camera)
        for scene in (self._picture, self._ids):
            scene.collection.children.link(self._content)
            scene.camera = self._camera
            scene.world = grey_world(scene.name)
        self._picture.collection.children.link(self._lights)
        self._ids.view_layers[0].material_override = id_material()
        cycles.picture_settings(self._picture, self.config.render, on_gpu=self.backend != "CPU")
        cycles.id_settings(self._ids)

    # -- public

    def target(self, scene: Scene) -> RenderedTarget:
        """Render a target scene. Raises Missing or BadInput if a model, room or texture is gone or bad."""
        with self._staged(scene) as objects:
            self._set_camera(scene.camera)
            rgb = self._render_rgb()
            with self._timed("id"):
                ids = self._render_ids()
            with self._timed("solo"):
                solo_areas = self._solo_areas(scene, objects, ids)
        return RenderedTarget(rgb, ids, solo_areas)

    def query(self, scene: Scene) -> list[RenderedView]:
        """Render every shot of a query scene."""
        views = []
        with self._staged(scene) as objects:
            for shot in scene.shots:
                self._set_camera(shot.camera)
                self._replace_lights(_point_light(shot))
                rgb = self._render_rgb()
                with self._timed("id"):
                    views.append(RenderedView(rgb, self._render_ids() == objects[0].pass_index))
        return views

    def ids(self, scene: Scene) -> np.ndarray:
        """The id map (H, W) int32 of a target scene alone."""
        with self._staged(scene), self._timed("id"):
            self._set_camera(scene.camera)
            return self._render_ids()

    # -- building

    @contextmanager
    def _staged(self, scene: Scene) -> Iterator[list[bpy.types.Object]]:
        """Build the scene without its camera; yields the objects. All that is the scene's own is removed at
        the end.
        """
        if current_file() != self._file:
            self._open()
        objects: list[bpy.types.Object] = []
        room: LoadedRoom | None = None
        with quiet():
            try:
                with self._timed("load"):
                    self._set_frame(scene)
                    room = self._place_room(scene)
                    for number, placed in enumerate(
                        scene.objects, start=1
                    ):  # one by one: all are removed below
                        objects.append(self._place_object(number, placed))
                    self._replace_lights(*(_area_light(light, scene) for light in scene.lights))
                yield objects
            finally:
                self._replace_lights()
                remove(objects)
                for obj in room.objects if room else ():
                    self._content.objects.unlink(obj)
                for cache in (self._meshes, self._rooms, self._pictures):
                    cache.trim()

    def _set_frame(self, scene: Scene) -> None:
        if len(scene.objects) > cycles.MAX_ID:
            raise BadInput(f"{len(scene.objects)} objects in a scene, {cycles.MAX_ID} can be told apart")
        for blender_scene in (self._picture, self._ids):
            cycles.common_settings(
                blender_scene, resolution=scene.resolution, backend=self.backend, threads=self.threads
            )
        self._picture.cycles.seed = scene.cycles_seed
        set_world(self._picture.world, color=scene.world.color, strength=scene.world.strength)
        lens = self._camera.data
        lens.type, lens.sensor_fit, lens.lens_unit = "PERSP", "HORIZONTAL", "FOV"
        lens.angle = scene.fov
        lens.clip_start, lens.clip_end = cycles.CLIP
        lens.shift_x = lens.shift_y = 0.0

    def _place_object(self, number: int, placed: PlacedObject) -> bpy.types.Object:
        limit = self.config.render.texture_limit
        mesh = self._meshes.get(placed.class_id, lambda: load_mesh(self.meshes, placed.class_id, limit))
        return self._add_object(number, placed, mesh)

    def _add_object(self, number: int, placed: PlacedObject, mesh: bpy.types.Mesh) -> bpy.types.Object:
        obj = bpy.data.objects.new(placed.name, mesh)
        obj.location, obj.rotation_mode = placed.location, "XYZ"
        obj.rotation_euler, obj.scale = Euler(placed.euler), (placed.scale,) * 3
        obj.pass_index = number
        self._content.objects.link(obj)
        return obj

    def _place_room(self, scene: Scene) -> LoadedRoom | None:
        if scene.room is None:
            return None
        room = self.rooms.get(scene.room.id)
        loaded = self._rooms.get(room.id, lambda: load_room(room))
        for material, nodes in loaded.textures.items():
            path = self.rooms.folder / scene.room.textures[material]
            picture = self._pictures.get(
                path,
                lambda: load_picture(path, self.scratch.path, self.config.render.texture_limit),  # noqa: B023
            )
            for node in nodes:
                node.image = picture
        for surface, emissions in loaded.emissions.items():
            for node in emissions:
                node.inputs["Strength"].default_value = scene.room.ceiling_strength[surface]
        for obj in loaded.objects:
            self._content.objects.link(obj)
        return loaded

    def _set_camera(self, camera: Camera) -> None:
        self._camera.matrix_world = Matrix.LocRotScale(Vector(camera.location), Matrix(camera.rotation), None)

    def _replace_lights(self, *lights: bpy.types.Object) -> None:
        old = list(self._lights.objects)
        remove([*(o.data for o in old), *old])
        for light in lights:
            light.visible_camera = False  # lamps of 2.93 were never seen themselves
            self._lights.objects.link(light)

    # -- rendering

    def _render_rgb(self) -> np.ndarray:
        with self._timed("rgb"):
            return np.array(self._render(self._picture))

    def _render_ids(self) -> np.ndarray:
        return np.array(self._render(self._ids), dtype=np.int32)

    def _solo_areas(self, scene: Scene, objects: list[bpy.types.Object], ids: np.ndarray) -> np.ndarray:
        """Pixels of each visible object when it is alone. Objects that cannot touch in the picture share a
        render.
        """
        areas = np.zeros(len(objects), dtype=np.int32)
        visible = np.bincount(ids.ravel(), minlength=len(objects) + 1)[1:] > 0
        everything = [o for o in self._content.objects if o.type == "MESH"]
        hidden = {o: o.hide_render for o in everything}
        try:
            for group in solo_groups(scene):
                shown = [k for k in group if visible[k]]
                if not shown:
                    continue
                for obj in everything:
                    obj.hide_render = True
                for k in shown:
                    objects[k].hide_render = False
                cycles.set_border(self._ids, group_border(scene, shown))
                counts = np.bincount(self._render_ids().ravel(), minlength=len(objects) + 1)[1:]
                areas[shown] = counts[shown]
        finally:
            self._ids.render.use_border = False
            for obj, state in hidden.items():
                obj.hide_render = state
        return areas

    def _render(self, scene: bpy.types.Scene) -> Image.Image:
        """Render a Blender scene to a file in memory and read it back."""
        path = Path(self.scratch.path) / f"{scene.name}.png"
        scene.render.filepath = str(path)
        reason = run_operator(bpy.ops.render.render, write_still=True, scene=scene.name)
        if reason or not path.is_file():
            raise BadInput(f"Blender could not render ({reason or 'no picture was written'})", file=path,
                           fix="make space there, or set TMPDIR to a folder with space")  # fmt: skip
        with Image.open(path) as picture:
            picture.load()
        path.unlink()
        return picture

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = self._clock()
        try:
            yield
        finally:
            self.seconds[phase] += self._clock() - started


def _area_light(light: AreaLight, scene: Scene) -> bpy.types.Object:
    lamp = bpy.data.lights.new(light.role, "AREA")
    lamp.shape, lamp.size, lamp.spread, lamp.energy = "SQUARE", light.size, light.spread, light.energy
    target = next((placed for placed in scene.objects if placed.name == light.target), None)
    if target is None:
        raise BadInput(f"a light points at object {light.target!r}, which is not in the scene")
    location = Vector(light.location)
    obj = bpy.data.objects.new(light.role, lamp)
    rotation = (Vector(target.location) - location).to_track_quat("-Z", "Y")
    obj.matrix_world = Matrix.LocRotScale(location, rotation, None)
    return obj


def _point_light(shot: Shot) -> bpy.types.Object:
    lamp = bpy.data.lights.new("point", "POINT")
    lamp.energy, lamp.shadow_soft_size, lamp.use_soft_falloff = shot.light.energy, POINT_LIGHT_RADIUS, False
    obj = bpy.data.objects.new("point", lamp)
    obj.location = shot.light.location
    return obj
