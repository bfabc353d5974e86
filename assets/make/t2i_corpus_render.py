# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders pictures of the text-to-image corpus, twenty to a checkpoint. Needs bpy.

    python -m assets.make.t2i_corpus_render --work DIR --part I/N --count M [--seed S]

Started by assets.make.t2i_corpus, one process a core; a killed one goes on where it stopped. What a picture
looks like depends on the seed and its index alone. Meshes, materials and textures stay loaded for the life
of the process; a scene links its things and sets colours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector
from PIL import Image

from assets.make.t2i_corpus_parts import Paint, Part
from assets.make.t2i_corpus_plan import checkpoint, chunks, rows_of
from assets.make.t2i_corpus_scene import FOV, SIDE, Placed, Scene, Surface, compose, model
from experiments.solid.config import Render
from experiments.solid.render import cycles
from experiments.solid.render.importing import remove, reset_blender
from experiments.solid.render.materials import grey_world, principled, set_world
from experiments.solid.render.quiet import quiet, run_operator
from experiments.solid.render.scratch import Scratch
from experiments.solid.render.textures import load_texture
from suite.arrays import write_arrays
from suite.errors import BadInput, guard
from suite.leave import leave
from suite.provenance import ROOT
from suite.stage import STOP

TEXTURES = ROOT / "assets" / "textures"
TEXTURE_LIMIT = 256  # pixels: a floor's picture covers fewer
SETTINGS = Render(
    resolution=(SIDE, SIDE), samples=8, noise_threshold=0.0, denoise=True, fov=FOV, max_bounces=1,
    diffuse_bounces=1, glossy_bounces=1, transmission_bounces=0, transparent_bounces=0, world_strength=0.0,
    world_color=(0.0, 0.0, 0.0), view_transform="Standard", texture_limit=TEXTURE_LIMIT,
)  # fmt: skip
FLOOR, WALL = (30.0, 30.0), (24.0, 10.0)


class Stage:
    """Renders one scene after the other with one thread."""

    mode = "RGB"  # of the pictures, as Pillow names it

    def __init__(self, seed: int, settings: Render = SETTINGS) -> None:
        self.seed, self.scratch = seed, Scratch()
        reset_blender()
        with quiet():
            backend = cycles.select_device("cpu")
        self._meshes: dict[tuple[str, int], bpy.types.Mesh] = {}
        self._materials: dict[tuple, bpy.types.Material] = {}
        self._scene = bpy.context.scene
        self._content = bpy.data.collections.new("content")
        self._scene.collection.children.link(self._content)
        self._camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        lens = self._camera.data
        lens.type, lens.sensor_fit, lens.lens_unit, lens.angle = "PERSP", "HORIZONTAL", "FOV", FOV
        self._lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "AREA"))
        self._lamp.data.shape, self._lamp.visible_camera = "SQUARE", False
        self._floor, self._wall = _plane("floor", FLOOR), _plane("wall", WALL)
        for obj in (self._camera, self._lamp, self._floor, self._wall):
            self._content.objects.link(obj)
        self._scene.camera = self._camera
        self._scene.world = grey_world("world")
        cycles.common_settings(self._scene, resolution=settings.resolution, backend=backend, threads=1)
        cycles.picture_settings(self._scene, settings, on_gpu=False)
        # A ninth of the time, for nothing that 64 pixels show.
        self._scene.cycles.caustics_reflective = self._scene.cycles.caustics_refractive = False

    def render(self, scene: Scene) -> np.ndarray:
        """A picture (SIDE, SIDE, 3) uint8."""
        with quiet():
            self._dress(scene)
            objects = [self._add(thing) for thing in scene.things]
        try:
            return self._pixels()
        finally:
            remove(objects)

    def _dress(self, scene: Scene) -> None:
        """Camera, lamp, sky, floor and wall of a scene."""
        eye = Vector(scene.eye)
        ahead = (Vector(scene.target) - eye).to_track_quat("-Z", "Y")
        turned = ahead.to_matrix() @ Matrix.Rotation(scene.roll, 3, "Z")
        self._camera.matrix_world = Matrix.LocRotScale(eye, turned, None)
        self._camera.data.shift_x, self._camera.data.shift_y = scene.shift
        light, lamp = scene.light, self._lamp.data
        lamp.size, lamp.energy, lamp.color = light.size, light.energy, light.color
        place = Vector(light.place)
        self._lamp.matrix_world = Matrix.LocRotScale(
            place, (Vector((0, 0, 0.4)) - place).to_track_quat("-Z", "Y"), None
        )
        set_world(self._scene.world, color=(1.0, 1.0, 1.0), strength=scene.sky)
        self._wall.matrix_world = Matrix.LocRotScale(
            Vector((0, scene.wall_distance, WALL[1] / 2)), Euler((np.pi / 2, 0, scene.wall_turned)), None
        )
        for plane, surface in ((self._floor, scene.floor), (self._wall, scene.wall)):
            plane.data.materials[0] = self._surface(plane.name, surface)
        self._scene.cycles.seed = scene.cycles_seed

    def _add(self, thing: Placed) -> bpy.types.Object:
        key = (thing.word, thing.variant)
        if key not in self._meshes:
            self._meshes[key] = self._mesh(model(self.seed, *key)[0])
        obj = bpy.data.objects.new(thing.word, self._meshes[key])
        obj.location, obj.rotation_euler = (*thing.place, 0.0), (0, 0, thing.heading)
        obj.scale, obj.color = (thing.scale,) * 3, (*thing.tint, 1.0)
        self._content.objects.link(obj)
        return obj

    def _mesh(self, parts: tuple[Part, ...]) -> bpy.types.Mesh:
        """One mesh with a material slot a part."""
        vertices, faces, slots, smooth, uvs, start = [], [], [], [], [], 0
        for slot, part in enumerate(parts):
            shape = part.shape
            vertices += shape.vertices.tolist()
            found = [tuple(start + at for at in dict.fromkeys(face)) for face in shape.faces.tolist()]
            faces += found
            slots += [slot] * len(found)
            smooth += [shape.smooth] * len(found)
            uvs += (np.zeros((len(shape.vertices), 2)) if shape.uvs is None else shape.uvs).tolist()
            start += len(shape.vertices)
        mesh = bpy.data.meshes.new("thing")
        mesh.from_pydata(vertices, [], faces)
        corners = np.empty(len(mesh.loops), dtype=np.int32)
        mesh.loops.foreach_get("vertex_index", corners)
        mesh.uv_layers.new(name="uv").data.foreach_set("uv", np.array(uvs, dtype=np.float32)[corners].ravel())
        mesh.polygons.foreach_set("use_smooth", np.array(smooth))
        for part in parts:
            mesh.materials.append(self._material(part.paint, part.texture))
        mesh.polygons.foreach_set("material_index", np.array(slots, dtype=np.int32))
        mesh.update()
        return mesh

    def _material(self, paint: Paint, texture: str | None) -> bpy.types.Material:
        """A paint; its tint is the colour of the object that shows it."""
        key = (paint, texture)
        if key in self._materials:
            return self._materials[key]
        material = self._materials[key] = bpy.data.materials.new("paint")
        shader, tree = principled(material), material.node_tree
        shader.inputs["Roughness"].default_value = paint.roughness
        color = _color_socket(tree, paint)
        if texture is not None:
            picture = tree.nodes.new("ShaderNodeTexImage")
            picture.image = load_texture(Path(texture), Path(self.scratch.path), TEXTURE_LIMIT)
            color = _product(tree, color, picture.outputs["Color"])
        if paint.mottle:
            color = _product(tree, color, _clouds(tree, paint))
        tree.links.new(color, shader.inputs["Base Color"])
        return material

    def _surface(self, plane: str, surface: Surface) -> bpy.types.Material:
        """The material of a floor or wall with this scene's colours in it."""
        kind = surface.texture or ("squares" if surface.other else "plain")
        key = (plane, kind)
        if key not in self._materials:
            self._materials[key] = self._new_surface(surface)
        nodes = self._materials[key].node_tree.nodes
        nodes["tint"].outputs[0].default_value = (*surface.color, 1.0)
        if "where" in nodes:
            nodes["where"].inputs["Scale"].default_value = (1 / surface.repeat,) * 3
            nodes["where"].inputs["Rotation"].default_value = (0, 0, surface.turned)
        if surface.other:
            nodes["squares"].inputs["Color1"].default_value = (*surface.color, 1.0)
            nodes["squares"].inputs["Color2"].default_value = (*surface.other, 1.0)
        return self._materials[key]

    def _new_surface(self, surface: Surface) -> bpy.types.Material:
        material = bpy.data.materials.new("surface")
        shader, tree = principled(material), material.node_tree
        shader.inputs["Roughness"].default_value = 0.7
        tint = tree.nodes.new("ShaderNodeRGB")
        tint.name, color = "tint", tint.outputs[0]
        if surface.texture or surface.other:
            place, where = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeMapping")
            where.name = "where"
            tree.links.new(place.outputs["Object"], where.inputs["Vector"])
            kind = "ShaderNodeTexImage" if surface.texture else "ShaderNodeTexChecker"
            pattern = tree.nodes.new(kind)
            tree.links.new(where.outputs["Vector"], pattern.inputs["Vector"])
            if surface.texture:
                path = TEXTURES / surface.texture
                pattern.image = load_texture(path, Path(self.scratch.path), TEXTURE_LIMIT)
                color = _product(tree, color, pattern.outputs["Color"])
            else:
                pattern.name, pattern.inputs["Scale"].default_value = "squares", 2.0
                color = pattern.outputs["Color"]
        tree.links.new(color, shader.inputs["Base Color"])
        return material

    def _pixels(self) -> np.ndarray:
        path = Path(self.scratch.path) / "picture.png"
        self._scene.render.filepath = str(path)
        reason = run_operator(bpy.ops.render.render, write_still=True, scene=self._scene.name)
        if reason or not path.is_file():
            raise BadInput(f"Blender could not render ({reason or 'no picture was written'})", file=path,
                           fix="make space there, or set TMPDIR to a folder with space")  # fmt: skip
        with Image.open(path) as picture:
            pixels = np.array(picture.convert(self.mode))
        path.unlink()
        return pixels


def _plane(name: str, size: tuple[float, float]) -> bpy.types.Object:
    x, y = size[0] / 2, size[1] / 2
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)], [], [(0, 1, 2, 3)])
    mesh.materials.append(None)
    return bpy.data.objects.new(name, mesh)


def _color_socket(tree: bpy.types.NodeTree, paint: Paint) -> bpy.types.NodeSocket:
    """The paint's own colour, or the object's, times the shade."""
    if paint.color is not None:
        node = tree.nodes.new("ShaderNodeRGB")
        node.outputs[0].default_value = (*(paint.shade * value for value in paint.color), 1.0)
        return node.outputs[0]
    node = tree.nodes.new("ShaderNodeObjectInfo")
    if paint.shade == 1.0:
        return node.outputs["Color"]
    shade = tree.nodes.new("ShaderNodeRGB")
    shade.outputs[0].default_value = (paint.shade,) * 3 + (1.0,)
    return _product(tree, node.outputs["Color"], shade.outputs[0])


def _product(
    tree: bpy.types.NodeTree, one: bpy.types.NodeSocket, other: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    node = tree.nodes.new("ShaderNodeVectorMath")
    node.operation = "MULTIPLY"
    tree.links.new(one, node.inputs[0])
    tree.links.new(other, node.inputs[1])
    return node.outputs["Vector"]


def _clouds(tree: bpy.types.NodeTree, paint: Paint) -> bpy.types.NodeSocket:
    """A grey factor between 1 - mottle and 1 that varies over the thing."""
    place, noise = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = paint.grain, 1.0
    tree.links.new(place.outputs["Object"], noise.inputs["Vector"])
    spread = tree.nodes.new("ShaderNodeMapRange")
    for name, value in (
        ("From Min", 0.35),
        ("From Max", 0.65),
        ("To Min", 1 - paint.mottle),
        ("To Max", 1.0),
    ):
        spread.inputs[name].default_value = value
    tree.links.new(noise.outputs[0], spread.inputs["Value"])
    return spread.outputs["Result"]


def render(work: Path, *, count: int, seed: int, part: int, parts: int) -> None:
    """Every `parts`-th missing checkpoint. Returns early after SIGTERM or when the maker that started this
    process is gone; what is there is kept.
    """
    stage, parent = None, os.getppid()
    for number, indices in list(chunks(count))[part::parts]:
        if checkpoint(work, number).exists():
            continue
        stage = stage or Stage(seed)  # Blender is not started where nothing is left to do
        scenes, pictures = [compose(seed, index) for index in indices], []
        for scene in scenes:
            if STOP.is_set or os.getppid() != parent:
                return
            pictures.append(stage.render(scene))
        rows = json.dumps(rows_of(scenes)).encode()
        write_arrays(
            checkpoint(work, number), pictures=np.stack(pictures), rows=np.frombuffer(rows, dtype=np.uint8)
        )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render one part of the text-to-image corpus.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", required=True, metavar="I/N")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    part, _, parts = options.part.partition("/")
    STOP.install()
    render(options.work, count=options.count, seed=options.seed, part=int(part), parts=int(parts))
    return 0


if __name__ == "__main__":
    leave(lambda: guard(main))
    sys.exit()
