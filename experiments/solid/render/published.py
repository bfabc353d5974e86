# SPDX-License-Identifier: GPL-3.0-or-later
"""The published way to annotate a rendered scene, written plainly: what the benchmark compares with.

As in SOLID's code on BlenderProc 2.2.0: every model and the room are imported anew for each scene; the
picture is rendered; then one full segmentation for the scene and one for each object alone. For each of these
every mesh gets new emission materials of a colour of its own, the frame goes to a 16-bit EXR file, from there
to an .npy file, and from that to the ids; then the materials are put back.

Kinder than the original in two ways: it restores the materials by hand where the original undoes the whole
scene, and a number may be as large as 2048 where the original's colour cube holds 63 meshes. Ids and areas
are those of `Renderer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import bpy
import numpy as np

from experiments.solid.config import SolidConfig
from experiments.solid.layout.scene import PlacedObject, Scene
from experiments.solid.library import MeshLibrary, RoomLibrary
from experiments.solid.render.cache import load_mesh
from experiments.solid.render.importing import remove
from experiments.solid.render.quiet import run_operator
from experiments.solid.render.renderer import RenderedTarget, Renderer


class PublishedRenderer(Renderer):
    """`Renderer.target` by the published procedure. `seconds` has load, rgb and segmentation."""

    def __init__(
        self,
        config: SolidConfig,
        meshes: MeshLibrary,
        rooms: RoomLibrary,
        device: str = "cpu",
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(config, meshes, rooms, device, cache_bytes=0, clock=clock)  # nothing stays loaded

    def _open(self) -> None:
        super()._open()
        self._ids.view_layers[0].material_override = None

    def _place_object(self, number: int, placed: PlacedObject) -> bpy.types.Object:
        limit = self.config.render.texture_limit
        mesh = self._meshes.get(number, lambda: load_mesh(self.meshes, placed.class_id, limit))
        return self._add_object(number, placed, mesh)

    def target(self, scene: Scene) -> RenderedTarget:
        """Render and segment a target scene."""
        with self._staged(scene) as objects:
            self._set_camera(scene.camera)
            rgb = self._render_rgb()
            everything = [o for o in self._content.objects if o.type == "MESH"]
            with self._timed("segmentation"):
                ids = self._segment(everything, everything)
                areas = [
                    (self._segment([obj], everything) == k).sum() for k, obj in enumerate(objects, start=1)
                ]
                for obj in everything:
                    obj.hide_render = False
        visible = np.isin(np.arange(1, len(objects) + 1), ids)
        return RenderedTarget(rgb, ids, np.where(visible, areas, 0).astype(np.int32))

    def _segment(self, shown: list[bpy.types.Object], everything: list[bpy.types.Object]) -> np.ndarray:
        """Ids (H, W) int32 with only some of the objects visible."""
        for obj in everything:
            obj.hide_render = obj not in shown
        swapped = [(obj, [slot.material for slot in obj.material_slots]) for obj in everything]
        new = []
        for obj, originals in swapped:
            for index in range(len(originals)):
                obj.material_slots[index].link = "OBJECT"
                new.append(_emission(obj.pass_index))
                obj.material_slots[index].material = new[-1]
        ids = self._render_exr()
        for obj, originals in swapped:
            for index, material in enumerate(originals):
                obj.material_slots[index].link = "DATA"
                obj.material_slots[index].material = material
        remove(new)
        return ids

    def _render_exr(self) -> np.ndarray:
        settings, path = self._ids.render.image_settings, self.scratch.path / "segmentation.exr"
        settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGB", "16"
        self._ids.render.filepath = str(path)
        run_operator(bpy.ops.render.render, write_still=True, scene=self._ids.name)
        picture = bpy.data.images.load(str(path))
        picture.colorspace_settings.name = "Non-Color"
        width, height = picture.size
        pixels = np.empty(width * height * picture.channels, dtype=np.float32)
        picture.pixels.foreach_get(pixels)
        remove([picture])
        np.save(path.with_suffix(".npy"), pixels.reshape(height, width, -1)[::-1, :, 0])
        return np.load(path.with_suffix(".npy")).astype(np.int32)


def _emission(number: int) -> bpy.types.Material:
    material = bpy.data.materials.new("segmentation")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    emission, output = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    emission.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    emission.inputs["Strength"].default_value = float(number)
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material
