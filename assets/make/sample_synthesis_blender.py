# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes of assets/sample_synthesis into light: linear colour, which object a pixel shows, what each hides.

Built from the parts of SOLID's renderer (experiments/solid/render): Cycles settings, id pass, materials,
textures, import. Needs bpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector
from PIL import Image

from assets.make.sample_synthesis_scene import Eye, Lamp, Model, Scene
from assets.make.sample_synthesis_shapes import Look, Shape
from experiments.solid.config import Render
from experiments.solid.render import cycles
from experiments.solid.render.importing import discarding, import_objects, remove, reset_blender, world_mesh
from experiments.solid.render.materials import grey_world, id_material, principled, set_world
from experiments.solid.render.quiet import quiet, run_operator
from experiments.solid.render.scratch import Scratch
from experiments.solid.render.textures import load_texture
from suite.errors import BadInput
from suite.provenance import ROOT

MODELS = ROOT / "assets" / "meshes" / "models"
# Blender's OBJ importer turns y up into z up: right for these, undone for all others.
Y_UP = frozenset(
    "barrel barrier building cone key keycard medkit office_chair office_desk potion tree tree_pine".split()
)
TEXTURE_LIMIT = 512
PAINT = "paint"  # the attribute of a mesh that holds its colours
SETTINGS = Render(
    resolution=(1, 1), samples=1, noise_threshold=0.0, denoise=True, fov=0.9, max_bounces=3,
    diffuse_bounces=2, glossy_bounces=2, transmission_bounces=2, transparent_bounces=2, world_strength=0.0,
    world_color=(0.0, 0.0, 0.0), view_transform="Standard", texture_limit=TEXTURE_LIMIT,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Light:
    """A rendered scene."""

    rgba: np.ndarray  # (H, W, 4) float32, linear, colour premultiplied by alpha
    ids: np.ndarray  # (H, W) int32: mark of the thing that the middle of the pixel shows, 0 for none
    solo: dict[int, int]  # mark -> pixels it would have if nothing else were there


class Stage:
    """Renders one scene after the other on the CPU with one thread: pixels do not depend on the machine's
    load, and one process a core is the faster way to use several.
    """

    def __init__(self) -> None:
        self.scratch = Scratch()
        reset_blender()
        with quiet():
            self._backend = cycles.select_device("cpu")
        self._models: dict[str, bpy.types.Mesh] = {}
        self._picture, self._ids = bpy.context.scene, bpy.data.scenes.new("ids")
        self._content = bpy.data.collections.new("content")
        self._camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        self._content.objects.link(self._camera)
        self._world = grey_world("world")
        for scene in (self._picture, self._ids):
            scene.collection.children.link(self._content)
            scene.camera = self._camera
        self._picture.world, self._ids.world = self._world, grey_world("dark")
        self._ids.view_layers[0].material_override = id_material()

    # -- public

    def ids(self, scene: Scene) -> tuple[np.ndarray, dict[int, int]]:
        """The id map and the pixels of each mark alone: a fiftieth of the picture's time."""
        with self._staged(scene) as objects:
            return self._id_passes(scene, objects)

    def render(self, scene: Scene) -> Light:
        """Everything about a scene."""
        with self._staged(scene) as objects:
            ids, solo = self._id_passes(scene, objects)
            lens = self._camera.data
            lens.dof.use_dof = scene.eye.focus is not None
            lens.dof.focus_distance, lens.dof.aperture_fstop = scene.eye.focus or 1.0, scene.eye.aperture
            rgba = self._render_light(scene)
            lens.dof.use_dof = False
        return Light(rgba, ids, solo)

    # -- building

    @contextmanager
    def _staged(self, scene: Scene) -> Iterator[list[bpy.types.Object]]:
        """Build the scene; yields its meshes. All but the models' meshes is removed at the end."""
        for name in {model.name for model in scene.models} - set(self._models):
            self._models[name] = self._load_model(name)
        with quiet(), discarding():
            self._set_frame(scene)
            objects = [self._add_model(model) for model in scene.models]
            for thing in scene.things:
                objects += [self._add_shape(shape, thing.mark) for shape in thing.shapes]
            for lamp in scene.lamps:
                self._content.objects.link(_lamp(lamp))
            yield objects

    def _set_frame(self, scene: Scene) -> None:
        for one in (self._picture, self._ids):
            cycles.common_settings(one, resolution=scene.resolution, backend=self._backend, threads=1)
        cycles.picture_settings(self._picture, SETTINGS, on_gpu=False)
        cycles.id_settings(self._ids)
        self._picture.cycles.samples, self._picture.cycles.seed = scene.samples, scene.cycles_seed
        self._picture.render.film_transparent = scene.cutout
        image = self._picture.render.image_settings
        image.file_format, image.color_mode, image.color_depth = "OPEN_EXR", "RGBA", "32"
        set_world(self._world, color=scene.sky, strength=1.0)
        self._set_camera(scene.eye)

    def _set_camera(self, eye: Eye) -> None:
        lens = self._camera.data
        lens.type, lens.sensor_fit, lens.lens_unit = "PERSP", "HORIZONTAL", "FOV"
        lens.angle = eye.fov
        lens.clip_start, lens.clip_end = 0.02, 1000.0
        lens.dof.use_dof = False
        self._camera.matrix_world = Matrix.LocRotScale(Vector(eye.place), Matrix(eye.rotation.tolist()), None)

    def _load_model(self, name: str) -> bpy.types.Mesh:
        """One mesh, standing on its lowest point above the origin, its longest side 1."""
        with discarding() as kept:
            (obj,) = import_objects(MODELS / name / "model.obj")
            if name not in Y_UP:
                obj.matrix_world = Matrix.Rotation(-np.pi / 2, 4, "X") @ obj.matrix_world
            mesh = world_mesh(obj)
            corners = np.empty(3 * len(mesh.vertices), dtype=np.float32)
            mesh.vertices.foreach_get("co", corners)
            low, high = corners.reshape(-1, 3).min(axis=0), corners.reshape(-1, 3).max(axis=0)
            middle = Vector(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]))
            mesh.transform(Matrix.Scale(1 / float((high - low).max()), 4) @ Matrix.Translation(-middle))
            materials = [m for m in mesh.materials if m is not None]
            images = {n.image for m in materials for n in m.node_tree.nodes if n.type == "TEX_IMAGE"}
            kept.update((mesh, *materials, *images))
        return mesh

    def _add_model(self, model: Model) -> bpy.types.Object:
        obj = bpy.data.objects.new(model.name, self._models[model.name])
        obj.location, obj.rotation_euler, obj.scale = model.place, (0, 0, model.heading), (model.size,) * 3
        self._content.objects.link(obj)
        return obj

    def _add_shape(self, shape: Shape, mark: int) -> bpy.types.Object:
        mesh = bpy.data.meshes.new("shape")
        faces = [tuple(dict.fromkeys(face)) for face in shape.faces.tolist()]  # a cap's quads are triangles
        mesh.from_pydata(shape.vertices.tolist(), [], faces)
        corners = np.empty(len(mesh.loops), dtype=np.int32)
        mesh.loops.foreach_get("vertex_index", corners)
        if shape.uvs is not None:
            layer = mesh.uv_layers.new(name="uv")
            layer.data.foreach_set("uv", shape.uvs[corners].astype(np.float32).ravel())
        if shape.colors is not None:
            colors = np.concatenate([shape.colors, np.ones((len(shape.colors), 1))], axis=1)
            attribute = mesh.color_attributes.new(PAINT, "FLOAT_COLOR", "POINT")
            attribute.data.foreach_set("color", colors.astype(np.float32).ravel())
        mesh.polygons.foreach_set("use_smooth", np.full(len(mesh.polygons), shape.smooth))
        mesh.materials.append(self._material(shape.look, painted=shape.colors is not None))
        obj = bpy.data.objects.new("shape", mesh)
        obj.pass_index = mark
        self._content.objects.link(obj)
        return obj

    def _material(self, look: Look, *, painted: bool) -> bpy.types.Material:
        material = bpy.data.materials.new("look")
        shader = principled(material)
        nodes, links = material.node_tree.nodes, material.node_tree.links
        shader.inputs["Roughness"].default_value = look.roughness
        shader.inputs["Metallic"].default_value = look.metallic
        shader.inputs["Base Color"].default_value = (*look.color, 1.0)
        if painted:
            source = nodes.new("ShaderNodeAttribute")
            source.attribute_name = PAINT
            links.new(source.outputs["Color"], shader.inputs["Base Color"])
        elif look.texture is not None:
            picture, tint = nodes.new("ShaderNodeTexImage"), nodes.new("ShaderNodeVectorMath")
            picture.image = self._texture(look.texture)
            tint.operation = "MULTIPLY"
            tint.inputs[1].default_value = look.color
            links.new(picture.outputs["Color"], tint.inputs[0])
            links.new(tint.outputs["Vector"], shader.inputs["Base Color"])
        return material

    def _texture(self, texture: Path | np.ndarray) -> bpy.types.Image:
        if isinstance(texture, Path):
            return load_texture(texture, Path(self.scratch.path), TEXTURE_LIMIT)
        path = Path(self.scratch.path) / "drawn.png"
        Image.fromarray(texture, "RGB").save(path, compress_level=0)
        image = bpy.data.images.load(str(path))
        image.pack()
        path.unlink()
        return image

    # -- rendering

    def _id_passes(self, scene: Scene, objects: list[bpy.types.Object]) -> tuple[np.ndarray, dict[int, int]]:
        ids, solo = self._render_ids(), {}
        for wanted in scene.wanted:
            for obj in objects:
                obj.hide_render = obj.pass_index != wanted.mark
            solo[wanted.mark] = int((self._render_ids() == wanted.mark).sum())
        for obj in objects:
            obj.hide_render = False
        return ids, solo

    def _render_ids(self) -> np.ndarray:
        path = self._render(self._ids, "png")
        with Image.open(path) as picture:
            ids = np.array(picture, dtype=np.int32)
        path.unlink()
        return ids

    def _render_light(self, scene: Scene) -> np.ndarray:
        path = self._render(self._picture, "exr")
        image = bpy.data.images.load(str(path))
        image.colorspace_settings.name = "Non-Color"
        image.alpha_mode = "CHANNEL_PACKED"  # the numbers of the file as they are
        width, height = scene.resolution
        rgba = np.empty(width * height * 4, dtype=np.float32)
        image.pixels.foreach_get(rgba)
        remove([image])
        path.unlink()
        return rgba.reshape(height, width, 4)[::-1].copy()  # Blender counts rows from below

    def _render(self, scene: bpy.types.Scene, suffix: str) -> Path:
        path = Path(self.scratch.path) / f"{scene.name}.{suffix}"
        scene.render.filepath = str(path)
        reason = run_operator(bpy.ops.render.render, write_still=True, scene=scene.name)
        if reason or not path.is_file():
            raise BadInput(f"Blender could not render ({reason or 'no picture was written'})", file=path,
                           fix="make space there, or set TMPDIR to a folder with space")  # fmt: skip
        return path


def _lamp(lamp: Lamp) -> bpy.types.Object:
    data = bpy.data.lights.new("lamp", lamp.kind)
    data.energy, data.color = lamp.energy, lamp.color
    if lamp.kind == "AREA":
        data.shape, data.size = "SQUARE", lamp.size
    elif lamp.kind == "SUN":
        data.angle = lamp.size
    else:
        data.shadow_soft_size = lamp.size
    if lamp.kind == "SPOT":
        data.spot_size, data.spot_blend = 1.1, 0.4
    obj = bpy.data.objects.new("lamp", data)
    turned = (Vector(lamp.target) - Vector(lamp.place)).to_track_quat("-Z", "Y")
    obj.matrix_world = Matrix.LocRotScale(Vector(lamp.place), turned, None)
    obj.visible_camera = False
    return obj
