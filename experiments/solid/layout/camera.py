"""The camera: projection both ways round, and the search for a place from which one sees into the room.

Pixel coordinates are continuous, x to the right from 0 to width, y down from 0 to height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.solid.config import SolidConfig
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.geometry import look_at_matrix
from experiments.solid.layout.grid import RoomGrid
from experiments.solid.layout.scene import Camera, Scene
from experiments.solid.library import Room

NEAR_PLANE = 0.1  # Blender's default clip start, as in the published run
FAN = 10  # rays per side of the image in the wall test (published code)
MAX_CAMERA_TRIES = 500  # the published search has no end; a room that refuses 500 cameras is better left


@dataclass(frozen=True, eq=False)
class Pinhole:
    """A pinhole camera with square pixels and the principal point in the middle."""

    location: np.ndarray  # (3,)
    rotation: np.ndarray  # (3, 3) camera-to-world, looking along -Z, Y up
    fov: float  # horizontal, radians
    resolution: tuple[int, int]  # width, height

    @classmethod
    def of(cls, scene: Scene, camera: Camera) -> Pinhole:
        """The pinhole of a scene's camera or of one of its shots."""
        return cls(
            location=np.array(camera.location),
            rotation=np.array(camera.rotation),
            fov=scene.fov,
            resolution=scene.resolution,
        )

    @property
    def tangents(self) -> np.ndarray:
        """Tangent of half the field of view (2,), horizontal and vertical."""
        horizontal = np.tan(self.fov / 2)
        return np.array([horizontal, horizontal * self.resolution[1] / self.resolution[0]])

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) in camera axes; the depth of a point is minus its third coordinate."""
        return (points - self.location) @ self.rotation

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) given in camera axes, which must lie in front of the camera."""
        plane = points[..., :2] / -points[..., 2:] / self.tangents * (0.5, -0.5) + 0.5
        return plane * self.resolution

    def sees(self, points: np.ndarray) -> np.ndarray:
        """Whether points (..., 3) in camera axes lie inside the four side planes; no near or far limit."""
        depth = -points[..., 2]
        return (
            (np.abs(points[..., 0]) <= self.tangents[0] * depth)
            & (np.abs(points[..., 1]) <= self.tangents[1] * depth)
            & (depth > 0)
        )

    def rectangle(self, points: np.ndarray) -> tuple[float, float, float, float] | None:
        """Pixel rectangle x1, y1, x2, y2 of the hull of world points (N, 3), clamped to the image, or None.

        The hull is cut at the near plane first: behind the camera a division by depth would turn the world
        round.
        """
        local = self.to_camera(points)
        depth = -local[:, 2]
        front, behind = depth >= NEAR_PLANE, depth < NEAR_PLANE
        kept = local[front]
        if not len(kept):
            return None
        if behind.any():
            ahead, back = local[front][:, None], local[behind][None]
            share = (NEAR_PLANE + back[..., 2]) / (back[..., 2] - ahead[..., 2])
            kept = np.concatenate([kept, (back + share[..., None] * (ahead - back)).reshape(-1, 3)])
        pixels = self.pixels(kept)
        x1, y1 = np.maximum(pixels.min(axis=0), 0)
        x2, y2 = np.minimum(pixels.max(axis=0), self.resolution)
        return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None

    def fan(self) -> np.ndarray:
        """Unit directions (FAN * FAN, 3) in world axes over the image rectangle, its corners included."""
        across, up = np.meshgrid(np.linspace(-1, 1, FAN), np.linspace(-1, 1, FAN))
        local = np.stack(
            [across * self.tangents[0], up * self.tangents[1], -np.ones_like(up)], axis=-1
        ).reshape(-1, 3)
        return local / np.linalg.norm(local, axis=1, keepdims=True) @ self.rotation.T


def any_ray_hits(origin: np.ndarray, directions: np.ndarray, triangles: np.ndarray, *, within: float) -> bool:
    """Whether a ray (unit directions (R, 3)) meets a triangle (T, 3, 3) at a distance of at most `within`."""
    nearest = np.clip(origin, triangles.min(axis=1), triangles.max(axis=1))  # of each triangle's bounding box
    triangles = triangles[((nearest - origin) ** 2).sum(axis=1) <= within**2]
    # Moeller and Trumbore, rays times triangles.
    edge1, edge2 = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    offset = origin - triangles[:, 0]
    normal = np.cross(edge1, edge2)
    determinant = -directions @ normal.T
    # A ray in the triangle's plane gives inf or nan, which is no hit.
    with np.errstate(divide="ignore", invalid="ignore"):
        u = directions @ np.cross(edge2, offset).T / determinant
        v = directions @ np.cross(offset, edge1).T / determinant
        distance = (offset * normal).sum(axis=1) / determinant
        return bool(((u >= 0) & (v >= 0) & (u + v <= 1) & (distance >= 0) & (distance <= within)).any())


def find_camera(
    rng: np.random.Generator, config: SolidConfig, *, room: Room, grid: RoomGrid
) -> tuple[Pinhole, Camera, int]:
    """Draw cameras until one has no wall close in front of it; also returns the number of draws.

    Each draw starts from the configured heights. In the published code the height range only ever grows over
    the retries and drags the look-at point along. Raises LayoutFailure after MAX_CAMERA_TRIES draws.
    """
    layout = config.layout
    x, y, floor, _ = grid.columns.T
    radius = np.hypot(x, y)
    candidates = np.flatnonzero((radius >= layout.camera_radius[0]) & (radius <= layout.camera_radius[1]))
    if not candidates.size:
        raise LayoutFailure(f"room {room.id}: no floor at the camera's distance from the centre")
    walls = room.of_kind("wall")
    for tries in range(1, MAX_CAMERA_TRIES + 1):
        column = candidates[rng.integers(candidates.size)]
        low = max(layout.camera_height[0], floor[column] + 1e-3)  # not in the floor itself (published code)
        location = np.array([x[column], y[column], rng.uniform(low, max(layout.camera_height[1], low))])
        target = np.array(
            [
                rng.uniform(*layout.look_at_xy),
                rng.uniform(*layout.look_at_xy),
                low + rng.uniform(*layout.look_at_z),
            ]
        )
        pinhole = Pinhole(
            location, look_at_matrix(location, target), config.render.fov, config.render.resolution
        )
        if not any_ray_hits(location, pinhole.fan(), walls, within=layout.min_wall_distance):
            camera = Camera(
                location=tuple(location.tolist()),
                look_at=tuple(target.tolist()),
                rotation=tuple(tuple(row) for row in pinhole.rotation.tolist()),
            )
            return pinhole, camera, tries
    raise LayoutFailure(f"room {room.id}: a wall stood in front of {MAX_CAMERA_TRIES} cameras")
