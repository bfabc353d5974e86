"""Runs in the blender image: a GLB goes out and comes back, bpy renders a lit cube, zarr stores."""

import tempfile
from pathlib import Path

import bpy
import numpy as np
import zarr

# No trimesh here: its import and a glTF export in one process keep bpy 4.5.15 from ending.
folder = Path(tempfile.mkdtemp())
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_cube_add(size=1)
bpy.ops.export_scene.gltf(filepath=str(folder / "cube.glb"))
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=str(folder / "cube.glb"))
assert [len(mesh.polygons) for mesh in bpy.data.meshes] == [12]

bpy.ops.object.camera_add(location=(0, 0, 4))
bpy.ops.object.light_add(type="SUN", location=(0, 0, 4))
scene = bpy.context.scene
scene.camera = next(item for item in scene.objects if item.type == "CAMERA")
scene.render.engine, scene.cycles.samples = "CYCLES", 1
scene.render.resolution_x = scene.render.resolution_y = 32
scene.render.filepath = str(folder / "cube.png")
bpy.ops.render.render(write_still=True)
pixels = np.array(bpy.data.images.load(scene.render.filepath).pixels).reshape(32, 32, 4)
assert pixels[16, 16, :3].min() > 0.05 > pixels[0, 0, :3].max()

store = zarr.create_array(folder / "a.zarr", shape=(8,), chunks=(1,), shards=(4,), dtype="u1")
store[:] = np.arange(8)
assert zarr.open_array(folder / "a.zarr")[5] == 5
