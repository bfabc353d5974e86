"""The id map by brute force: one ray through the middle of each pixel against every triangle, in NumPy."""

from __future__ import annotations

import numpy as np

from experiments.solid.layout.geometry import euler_matrix
from experiments.solid.layout.scene import Scene
from experiments.solid.library import MeshLibrary, Room


def scene_triangles(scene: Scene, meshes: MeshLibrary, room: Room | None) -> tuple[np.ndarray, np.ndarray]:
    """World-space triangles (T, 3, 3) and the id (T,) of each; the room's is 0."""
    parts = [] if room is None else [(room.triangles, 0)]
    for number, placed in enumerate(scene.objects, start=1):
        faces = np.load(meshes.folder / meshes.classes[placed.class_id]["npz"])["faces"]
        turned = meshes.vertices(placed.class_id) * placed.scale @ euler_matrix(np.array(placed.euler)).T
        parts.append(((turned + placed.location)[faces], number))
    ids = np.concatenate([np.full(len(t), k) for t, k in parts])
    return np.concatenate([t for t, _ in parts]), ids


def trace_ids(scene: Scene, meshes: MeshLibrary, room: Room | None) -> np.ndarray:
    """The id map (H, W) of a target scene (Moeller and Trumbore 1997)."""
    triangles, ids = scene_triangles(scene, meshes, room)
    width, height = scene.resolution
    focal = width / (2 * np.tan(scene.fov / 2))
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(x - width / 2) / focal, (height / 2 - y) / focal, -np.ones_like(x)], axis=-1)
    rays = rays.reshape(-1, 3) @ np.array(scene.camera.rotation).T
    origin = np.array(scene.camera.location)
    nearest, found = np.full(len(rays), np.inf), np.zeros(len(rays), dtype=np.int64)
    for (a, b, c), number in zip(triangles, ids, strict=True):
        edge1, edge2 = b - a, c - a
        across = np.cross(rays, edge2)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / (across @ edge1)
            u = across @ (origin - a) * inverse
            turned = np.cross(origin - a, edge1)
            v = rays @ turned * inverse
            distance = edge2 @ turned * inverse
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 0) & (distance < nearest)
        nearest[hit], found[hit] = distance[hit], number
    return found.reshape(height, width)


def at_edges(ids: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels with another id among their eight neighbours."""
    padded = np.pad(ids, 1, mode="edge")
    height, width = ids.shape
    shifts = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.any([shift != ids for shift in shifts], axis=0)
