"""Small worlds made by hand: a few meshes, one box room, scenes in it. Written with trimesh, not with
Blender.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from experiments.solid.config import SolidConfig
from experiments.solid.layout.geometry import look_at_matrix
from experiments.solid.layout.scene import (
    SCHEMA,
    AreaLight,
    Box,
    Camera,
    PlacedObject,
    PointLight,
    RoomChoice,
    Rules,
    Scene,
    Shot,
    World,
)
from experiments.solid.library import MeshLibrary, RoomLibrary
from suite.config import load_config

CONFIGS = Path(__file__).resolve().parents[3] / "experiments/solid/configs"
FOV = 0.691111
WHITE = World(color=(0.05, 0.05, 0.05), strength=1.0)


def tiny_config(*overrides: str) -> SolidConfig:
    return load_config(SolidConfig, CONFIGS / "tiny.yaml", overrides)


def to_gltf(points: np.ndarray) -> np.ndarray:
    """Blender's z-up coordinates (x, y, z) as glTF's y-up ones (x, z, -y)."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


def picture(seed: int, side: int = 16) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def write_glb(path: Path, parts: dict[str, tuple[trimesh.Trimesh, str]], *, textured: bool = False) -> None:
    """Write named parts, each (mesh in z-up coordinates, material name), as a GLB."""
    scene = trimesh.Scene()
    for number, (name, (mesh, material)) in enumerate(parts.items()):
        uv = mesh.vertices[:, :2] - mesh.vertices[:, 2:]
        look = PBRMaterial(
            name=material, baseColorFactor=[200, 150, 100, 255], metallicFactor=0.0, roughnessFactor=0.8
        )
        if textured:
            look = PBRMaterial(
                name=material, baseColorTexture=picture(number), metallicFactor=0.0, roughnessFactor=0.8
            )
        copy = trimesh.Trimesh(to_gltf(mesh.vertices), mesh.faces, process=False,
                               visual=TextureVisuals(uv=uv, material=look))  # fmt: skip
        scene.add_geometry(copy, node_name=name, geom_name=name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(scene.export(file_type="glb"))


def shapes() -> list[trimesh.Trimesh]:
    """A cube, a ball, a cylinder: unit size, centred."""
    return [
        trimesh.creation.box((1, 1, 1)),
        trimesh.creation.icosphere(subdivisions=2, radius=0.5),
        trimesh.creation.cylinder(radius=0.3, height=1.0, sections=24),
    ]


def write_clean(folder: Path, meshes: list[trimesh.Trimesh]) -> MeshLibrary:
    """A folder as the stage `clean` leaves it."""
    classes = []
    for k, mesh in enumerate(meshes):
        glb, npz = f"models/{k:05d}.glb", f"models/{k:05d}.npz"
        write_glb(folder / glb, {"model": (mesh, "paint")}, textured=True)
        np.savez(folder / npz, vertices=mesh.vertices.astype(np.float32), faces=mesh.faces.astype(np.int32))
        classes.append({"glb": glb, "npz": npz, "extent": mesh.extents.tolist()})
    (folder / "classes.json").write_text(json.dumps(classes), encoding="utf-8")
    return MeshLibrary.load(folder)


def quad(points: list[tuple[float, float, float]]) -> trimesh.Trimesh:
    return trimesh.Trimesh(np.array(points, dtype=float), [[0, 1, 2], [0, 2, 3]], process=False)


def box_room_parts() -> dict[str, tuple[trimesh.Trimesh, str]]:
    """A room of 3 x 4 x 2 with a corner at the origin, faces inward."""
    corners = [(0, 0), (0, 4), (3, 4), (3, 0)]
    parts = {
        "floor": (quad([(0, 0, 0), (3, 0, 0), (3, 4, 0), (0, 4, 0)]), "wood_1"),
        "Ceiling.001": (quad([(0, 0, 2), (0, 4, 2), (3, 4, 2), (3, 0, 2)]), "plaster"),
    }
    for i, (a, b) in enumerate(zip(corners, corners[1:] + corners[:1], strict=True)):
        parts[f"wall{i}"] = (quad([(*a, 0), (*b, 0), (*b, 2), (*a, 2)]), "brick")
    return parts


def write_rooms(folder: Path, config: SolidConfig) -> RoomLibrary:
    """A folder as the stage `rooms` leaves it, with one room."""
    from experiments.solid.render.rooms_scan import scan_room

    write_glb(folder / "models/000.glb", box_room_parts())
    room = scan_room(folder / "models/000.glb", config)
    np.savez(folder / "models/000.npz", triangles=room.triangles, surface=room.surface)
    materials = {}
    for number, name in enumerate(room.textured):
        path = Path("textures") / name / "0.jpg"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        picture(100 + number, 32).save(folder / path)
        materials[name] = [str(path)]
    entry = {"id": "000", "glb": "models/000.glb", "npz": "models/000.npz", "matrix": room.matrix.tolist(),
             "surfaces": list(room.surfaces), "materials": materials}  # fmt: skip
    (folder / "rooms.json").write_text(json.dumps({"rooms": [entry]}), encoding="utf-8")
    return RoomLibrary.load(folder)


def camera_at(location: tuple[float, float, float], target: tuple[float, float, float]) -> Camera:
    rotation = look_at_matrix(np.array(location, dtype=float), np.array(target, dtype=float))
    return Camera(location, tuple(tuple(row) for row in rotation.tolist()), target)


def placed(
    meshes: MeshLibrary, name: str, class_id: int, location, size: float, euler=(0.0, 0.0, 0.0)
) -> PlacedObject:
    extent = meshes.extents[class_id]
    scale = float(size / extent.max())
    return PlacedObject(
        name=name, class_id=class_id, euler=tuple(map(float, euler)), size=float(size), scale=scale,
        location=tuple(map(float, location)), obb=Box(tuple((extent * scale / 2).tolist())),
        rules=Rules(near=False, overlap=False, depth_order=False), tries=1,
    )  # fmt: skip


def target_scene(
    objects, *, rooms: RoomLibrary | None, resolution=(64, 48), camera: Camera | None = None
) -> Scene:
    """Objects before a camera at (0, -5, 1.5), with a room if there is one, and two area lights."""
    room = None
    if rooms is not None:
        first = rooms.rooms[0]
        ceilings = {s.name: 0.75 for s in first.surfaces if s.kind == "ceiling"}
        room = RoomChoice(first.id, {name: paths[0] for name, paths in first.materials.items()}, ceilings)
    lights = tuple(
        AreaLight(role, location, objects[0].name, energy, 0.25, float(np.pi))
        for role, location, energy in (("key", (3.0, -4.0, 4.0), 200.0), ("fill", (-3.0, -4.0, 0.5), 20.0))
    )
    return Scene(
        schema=SCHEMA, kind="target", seed=0, index=0, attempt=0, resolution=resolution, fov=FOV,
        camera=camera or camera_at((0.0, -5.0, 1.5), (0.0, 0.0, 1.0)), room=room, world=WHITE,
        objects=tuple(objects), lights=lights, shots=(), attempted=len(objects), drawn=(), camera_tries=1,
        cycles_seed=7,
    )  # fmt: skip


def query_scene(meshes: MeshLibrary, class_id: int, *, side: int = 32, num_shots: int = 4) -> Scene:
    """One object of size 1 on a turntable, a light on each camera."""
    shots = []
    for turn in 2 * np.pi * np.arange(num_shots) / num_shots:
        location = (float(3 * np.sin(turn)), float(3 * np.cos(turn)), 0.0)
        shots.append(Shot(camera_at(location, (0.0, 0.0, 0.0)), PointLight(location, 1000.0)))
    one = placed(meshes, "0", class_id, (0, 0, 0), 1.0, euler=(-0.5, 0.4, 0.9))
    scene = target_scene([one], rooms=None, resolution=(side, side))
    return dataclasses.replace(scene, kind="query", camera=None, lights=(), shots=tuple(shots))
