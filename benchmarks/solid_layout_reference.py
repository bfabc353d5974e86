"""SOLID's published way to place objects, for benchmarks/solid_layout.py.

Written anew from its description. For every pose all filters are evaluated on all cells of the room's grid:
"fits" as a correlation of the free cells with the box's cells by Fourier transforms in float32, then the
masks of view, nearness, overlap and depth order, then separating axes between the box at every cell left and
every triangle of the room, 64 triangles at a time. The place is a uniform choice among the cells that remain;
the box is carved out by a test of every cell. The grid is made anew for every scene, a model read anew for
every object.

Kinder than the original: a count is compared with rounding (the original's `==` loses a fifth to a half of
the cells that fit, and so needs more tries); the masks of nearness and overlap are kept from one object to
the next; models are arrays, no GLB; the cells of a box are those of the stage, so that the same cells pass.
Not there: the stage's exact test of box against box.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from scipy import fft

from experiments.solid.config import SolidConfig
from experiments.solid.layout.camera import Pinhole, find_camera
from experiments.solid.layout.geometry import euler_matrix
from experiments.solid.layout.grid import BoxLattice, RoomGrid, box_lattice, room_grid
from experiments.solid.layout.placement import draw_size, place_objects
from experiments.solid.library import MeshLibrary, Room, RoomLibrary

TRIANGLES = 64  # looked at together (published code)
PAIRS = 1 << 22  # projections of cells on axes looked at together


class PublishedPlacer:
    """The state of one scene while objects are put into it; `objects` holds what was placed.

    dtype: of positions and projections; the original uses float32.
    """

    def __init__(
        self, config: SolidConfig, *, room: Room, grid: RoomGrid, meshes: MeshLibrary, camera: Pinhole,
        dtype: type = np.float32,
    ) -> None:  # fmt: skip
        self.layout, self.meshes, self.camera, self.stride = config.layout, meshes, camera, grid.stride
        self.obstacles = room.of_kind("wall", "other", "floor").astype(dtype)
        z, y, x = np.meshgrid(grid.z, grid.y, grid.x, indexing="ij")
        self.points = np.stack([x, y, z], axis=-1).astype(dtype)  # (nz, ny, nx, 3)
        local = ((self.points - camera.location.astype(dtype)) @ camera.rotation.astype(dtype)).astype(dtype)
        self.seen = camera.sees(local)
        with np.errstate(divide="ignore", invalid="ignore"):  # cells beside the camera are not seen
            self.pixels = camera.pixels(local).astype(dtype)
        self.distances = np.linalg.norm(local, axis=-1)
        away = np.hypot(*np.moveaxis(self.points[..., :2] - camera.location[:2].astype(dtype), -1, 0))
        low, high = config.layout.object_distance
        self.valid = grid.valid & (away > low) & (away < high)
        self.near = np.zeros(self.valid.shape, bool)
        self.covered = np.zeros(self.valid.shape, bool)
        self.objects: list[SimpleNamespace] = []
        self.tries = 0

    @property
    def full(self) -> bool:
        """Whether no free cell is left anywhere."""
        return not self.valid.any()

    def place(self, rng: np.random.Generator, name: str, class_id: int) -> bool:
        """Draw poses for one object until one has a place; False if none of them had."""
        with np.load(self.meshes.folder / self.meshes.classes[class_id]["npz"]) as arrays:
            vertices = arrays["vertices"]
        for _ in range(self.layout.max_tries):
            self.tries += 1
            pose = self.draw_pose(rng, class_id)
            cells = self.passing(pose)
            if len(cells):
                self.settle(int(rng.choice(cells)), pose, vertices)
                return True
        return False

    def draw_pose(self, rng: np.random.Generator, class_id: int) -> SimpleNamespace:
        """Pose, size and rules, drawn as in the stage."""
        rotation = euler_matrix(rng.uniform(-np.pi, np.pi, 3))
        size, _ = draw_size(rng, self.layout)
        extent = self.meshes.extents[class_id]
        scale = size / extent.max()
        near, overlap, order = (rng.random() < share for share in (
            self.layout.near_prob, self.layout.overlap_prob, self.layout.depth_order_prob))  # fmt: skip
        rules = SimpleNamespace(near=near, overlap=overlap, depth_order=overlap and order)
        return SimpleNamespace(rotation=rotation, size=size, scale=scale, half_extents=extent * scale / 2,
                               rules=rules)  # fmt: skip

    def passing(self, pose: SimpleNamespace) -> np.ndarray:
        """Flat numbers of all cells where the pose may stand, ascending."""
        lattice = box_lattice(pose.rotation, pose.half_extents, self.stride)
        mask = fitting(self.valid, lattice) & self.valid & self.seen
        if self.objects and pose.rules.near:
            mask &= self.near
        if self.objects and pose.rules.overlap:
            mask &= self.covered
        if self.objects and pose.rules.depth_order:
            smaller = [one for one in self.objects if one.size <= pose.size]
            larger = [one for one in self.objects if one.size > pose.size]
            if smaller:
                mask &= self.distances > max(smaller, key=lambda one: one.size).distance
            if larger:
                mask &= self.distances < min(larger, key=lambda one: one.size).distance
        cells = np.flatnonzero(mask)
        return cells[~meets_any(self.points.reshape(-1, 3)[cells], pose, self.obstacles)]

    def settle(self, cell: int, pose: SimpleNamespace, vertices: np.ndarray) -> None:
        """Put the object at a cell: every cell of the room learns of it."""
        kind = self.points.dtype
        place = self.points.reshape(-1, 3)[cell]
        offsets = self.points - place
        widened = (pose.half_extents + self.stride / 2 + 1e-9).astype(kind)
        self.valid &= ~(np.abs(offsets @ pose.rotation.astype(kind)) <= widened).all(axis=-1)
        reach = np.linalg.norm(pose.half_extents) + self.layout.near_slack
        self.near |= (offsets**2).sum(axis=-1) <= kind.type(reach**2)
        rectangle = self.camera.rectangle(vertices * pose.scale @ pose.rotation.T + place)
        if rectangle is not None:
            x1, y1, x2, y2 = (kind.type(side) for side in rectangle)
            u, v = self.pixels[..., 0], self.pixels[..., 1]
            self.covered |= (u >= x1) & (u <= x2) & (v >= y1) & (v <= y2)
        distance = np.linalg.norm(place - self.camera.location)
        self.objects.append(SimpleNamespace(size=pose.size, distance=distance, location=place))


def fitting(valid: np.ndarray, lattice: BoxLattice) -> np.ndarray:
    """Whether all cells of a box at each cell are free: (nz, ny, nx) bool, by Fourier transforms."""
    reach = [int(max(abs(low.min()), abs(high.max()))) for low, high in (
        (lattice.dz, lattice.dz), (lattice.dy, lattice.dy), (lattice.first, lattice.last))]  # fmt: skip
    result = np.zeros(valid.shape, bool)
    if any(2 * r + 1 > n for r, n in zip(reach, valid.shape, strict=True)):
        return result
    kernel = np.zeros([2 * r + 1 for r in reach], np.float32)
    for dz, dy, first, last in zip(lattice.dz, lattice.dy, lattice.first, lattice.last, strict=True):
        kernel[dz + reach[0], dy + reach[1], first + reach[2] : last + reach[2] + 1] = 1
    shape = [fft.next_fast_len(n, real=True) for n in valid.shape]
    product = fft.rfftn(valid.astype(np.float32), shape) * np.conj(fft.rfftn(kernel, shape))
    counts = fft.irfftn(product, shape)
    inner = tuple(slice(0, n - 2 * r) for r, n in zip(reach, valid.shape, strict=True))
    outer = tuple(slice(r, n - r) for r, n in zip(reach, valid.shape, strict=True))
    result[outer] = counts[inner] > kernel.sum() - 0.5
    return result


def meets_any(centers: np.ndarray, pose: SimpleNamespace, triangles: np.ndarray) -> np.ndarray:
    """Whether the box, centred at each of (N, 3), meets any triangle (T, 3, 3): (N,) bool."""
    kind = centers.dtype
    meets = np.zeros(len(centers), bool)
    rotation, halves = pose.rotation.astype(kind), pose.half_extents.astype(kind)
    for start in range(0, len(triangles), TRIANGLES):
        part = triangles[start : start + TRIANGLES]
        edges = np.roll(part, -1, axis=1) - part
        normals = np.cross(edges[:, 0], edges[:, 1])[:, None]
        crossed = np.cross(rotation.T[None, :, None], edges[:, None]).reshape(len(part), 9, 3)
        own = np.broadcast_to(rotation.T, (len(part), 3, 3))
        axes = np.concatenate([own, normals, crossed], axis=1)  # (P, 13, 3)
        spans = axes @ np.swapaxes(part, 1, 2)  # (P, 13, 3 corners)
        reach = np.abs(axes @ rotation) @ halves
        low, high = spans.min(axis=2) - reach, spans.max(axis=2) + reach
        chunk = max(1, PAIRS // low.size)
        for first in range(0, len(centers), chunk):
            along = np.tensordot(centers[first : first + chunk], axes, axes=(1, 2))  # (C, P, 13)
            apart = ((along < low) | (along > high)).any(axis=2)
            meets[first : first + chunk] |= ~apart.all(axis=1)
    return meets


def published_layout(
    rng: np.random.Generator, config: SolidConfig, *, rooms: RoomLibrary, meshes: MeshLibrary
) -> PublishedPlacer:
    """Room, camera and objects of one target scene; the camera's search is the stage's own."""
    room = rooms.rooms[rng.integers(len(rooms.rooms))]
    layout = config.layout
    grid = room_grid.__wrapped__(room, config.rooms.footprint, layout.cells_per_unit)  # not the kept one
    pinhole, _, _ = find_camera(rng, config, room=room, grid=grid)
    placer = PublishedPlacer(config, room=room, grid=grid, meshes=meshes, camera=pinhole)
    place_objects(rng, config, placer, meshes.num_classes)
    return placer
