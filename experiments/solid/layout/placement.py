"""Placing objects: random poses, five filters, a uniform choice of place (SOLID, object placement).

For every object a model is drawn, then up to `max_tries` poses. A pose may stand in a cell if

1. the box fits into free cells there,
2. its centre is in the camera's view,
3. near: it is within an earlier object's bounding radius + slack of that object's centre,
4. overlap: its centre projects into an earlier object's pixel rectangle, and, by a further draw, depth order:
   it is farther away than the next smaller object and nearer than the next larger one,
5. it meets no wall, floor or other surface, and no earlier box: exact tests.

How the place is chosen. The published code evaluates all five on the whole grid and picks uniformly among the
cells left. Here 2 to 4, which cost one array operation, are evaluated on all cells; their cells are then
visited in random order, and the first that passes the dear tests 1 and 5 is taken. In a random order every
passing cell is equally likely to be the first of the passing ones, so the distribution is the same, and a try
fails in the same cases: when no cell passes. Only the number of tests differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.solid.config import Layout, SolidConfig
from experiments.solid.layout.camera import Pinhole
from experiments.solid.layout.collide import boxes_meet_boxes, boxes_meet_triangles
from experiments.solid.layout.geometry import euler_matrix
from experiments.solid.layout.grid import BoxLattice, FreeSpace, RoomGrid, box_lattice
from experiments.solid.layout.scene import Box, Draw, PlacedObject, Rules
from experiments.solid.layout.view import seen_cells
from experiments.solid.library import MeshLibrary, Room

_FIRST_BATCH, _LARGEST_BATCH = 64, 16384  # cells tested at a time; quadrupled after each batch without a hit
_TINY = 1e-9  # so that rounding leaves no row out: the cells themselves are tested
_EXACT_BATCH = 256  # places tested at a time against triangles and boxes


def first_passing(
    rng: np.random.Generator, cells: np.ndarray, passes: Callable[[np.ndarray], int | None]
) -> int | None:
    """A uniform choice among the cells that pass: visit them in random order and stop at the first.

    `passes` takes a batch of cells (N,) in that order and returns the first passing one or None.
    """
    start, size = 0, _FIRST_BATCH
    order = rng.permutation(cells)
    while start < len(order):
        found = passes(order[start : start + size])
        if found is not None:
            return found
        start, size = start + size, min(4 * size, _LARGEST_BATCH)
    return None


@dataclass(frozen=True, eq=False)
class _Pose:
    """One drawn pose and size of a model, with what follows from them."""

    euler: np.ndarray  # (3,)
    rotation: np.ndarray  # (3, 3)
    size: float
    size_bin: int
    scale: float
    half_extents: np.ndarray  # (3,)
    lattice: BoxLattice
    rules: Rules


class Placer:
    """The state of one scene while objects are put into it."""

    def __init__(
        self, config: SolidConfig, *, room: Room, grid: RoomGrid, meshes: MeshLibrary, camera: Pinhole
    ):
        self._layout, self._meshes, self._camera, self._grid = config.layout, meshes, camera, grid
        self._obstacles = room.of_kind("wall", "other", "floor")
        self._space = FreeSpace(_far_enough(grid, camera, config.layout.object_distance))
        self._look_at_cells()
        self.objects: list[PlacedObject] = []
        self.drawn: list[Draw] = []
        self._rotations: list[np.ndarray] = []

    def _look_at_cells(self) -> None:
        """What is needed of every free cell in view, once a scene: the arrays below are parallel.

        Pixels are (2, N), so that comparisons run along memory; columns are the cells' places in their layer.
        """
        self._cells, local = seen_cells(self._grid, self._camera, self._space.valid)
        layers, rows, columns = self._grid.valid.shape
        self._columns = self._cells % (rows * columns)
        self._row_starts = np.searchsorted(self._cells, np.arange(layers * rows + 1) * columns)
        self._pixels = np.ascontiguousarray(self._camera.pixels(local).T)
        self._distances = np.sqrt(local[:, 0] ** 2 + local[:, 1] ** 2 + local[:, 2] ** 2)
        self._free = np.ones(len(self._cells), bool)
        self._near = np.zeros(len(self._cells), bool)  # filter 3
        self._covered = np.zeros(len(self._cells), bool)  # filter 4

    @property
    def full(self) -> bool:
        """Whether no free cell is left anywhere."""
        return not self._space.valid.any()

    def place(self, rng: np.random.Generator, name: str, class_id: int) -> bool:
        """Draw poses for one object until one has a place; False if none of them had."""
        for tries in range(1, self._layout.max_tries + 1):
            pose = self._draw_pose(rng, class_id)
            candidates = self._cells[self._candidates(pose.rules, pose.size)]
            cell = first_passing(rng, candidates, lambda cells, pose=pose: self._first_clear(cells, pose))
            self.drawn.append(
                Draw(
                    name=name,
                    class_id=class_id,
                    size=pose.size,
                    bin=pose.size_bin,
                    rules=pose.rules,
                    placed=cell is not None,
                )
            )
            if cell is not None:
                self._settle(cell, pose, name=name, class_id=class_id, tries=tries)
                return True
        return False

    def _draw_pose(self, rng: np.random.Generator, class_id: int) -> _Pose:
        euler = rng.uniform(-np.pi, np.pi, 3)
        size, size_bin = draw_size(rng, self._layout)
        extent = self._meshes.extents[class_id]
        scale = size / extent.max()
        rotation, half_extents = euler_matrix(euler), extent * scale / 2
        return _Pose(
            euler=euler,
            rotation=rotation,
            size=size,
            size_bin=size_bin,
            scale=float(scale),
            half_extents=half_extents,
            lattice=box_lattice(rotation, half_extents, self._grid.stride),
            rules=self._draw_rules(rng),
        )

    def _draw_rules(self, rng: np.random.Generator) -> Rules:
        """Which optional filters a pose must pass; the first object has nothing to relate to."""
        if not self.objects:
            return Rules(near=False, overlap=False, depth_order=False)
        near = rng.random() < self._layout.near_prob
        overlap = rng.random() < self._layout.overlap_prob
        return Rules(
            near=near, overlap=overlap, depth_order=overlap and rng.random() < self._layout.depth_order_prob
        )

    def _candidates(self, rules: Rules, size: float) -> np.ndarray:
        """Mask over the cells in view: free and passing filters 3 and 4."""
        mask = self._free
        if rules.near:
            mask = mask & self._near
        if rules.overlap:
            mask = mask & self._covered
        if rules.depth_order:
            low, high = self._depth_bounds(size)
            mask = mask & (self._distances > low) & (self._distances < high)
        return mask

    def _depth_bounds(self, size: float) -> tuple[float, float]:
        """Distances of the next smaller (or equal) and the next larger object: bigger is farther away."""
        ordered = sorted(self.objects, key=lambda placed: placed.size)
        distances = [float(np.linalg.norm(placed.location - self._camera.location)) for placed in ordered]
        larger = int(np.searchsorted([placed.size for placed in ordered], size, side="right"))
        return (
            distances[larger - 1] if larger > 0 else -np.inf,
            distances[larger] if larger < len(ordered) else np.inf,
        )

    def _first_clear(self, cells: np.ndarray, pose: _Pose) -> int | None:
        """The first of the cells where the box fits and meets nothing (filters 1 and 5)."""
        cells = cells[self._space.fits(cells, pose.lattice)]
        for start in range(0, len(cells), _EXACT_BATCH):
            batch = cells[start : start + _EXACT_BATCH]
            centers = self._grid.coordinates(batch)
            clear = np.flatnonzero(~self._meets_boxes(centers, pose))
            meets = boxes_meet_triangles(centers[clear], pose.rotation, pose.half_extents, self._obstacles)
            clear = clear[~meets]
            if clear.size:
                return int(batch[clear[0]])
        return None

    def _meets_boxes(self, centers: np.ndarray, pose: _Pose) -> np.ndarray:
        """Whether the box meets an earlier one, for its centre at each of (B, 3): (B,) bool."""
        if not self.objects:
            return np.zeros(len(centers), bool)
        return boxes_meet_boxes(
            centers,
            pose.rotation,
            pose.half_extents,
            other_centers=np.array([placed.location for placed in self.objects]),
            other_rotations=np.array(self._rotations),
            other_half_extents=np.array([placed.obb.half_extents for placed in self.objects]),
        )

    def _settle(self, cell: int, pose: _Pose, *, name: str, class_id: int, tries: int) -> None:
        """Write the object down, carve out its box, widen what counts as near and as covered."""
        location = self._grid.coordinates(np.array([cell]))[0]
        self._rotations.append(pose.rotation)
        self.objects.append(
            PlacedObject(
                name=name,
                class_id=class_id,
                euler=tuple(pose.euler.tolist()),
                size=pose.size,
                scale=pose.scale,
                location=tuple(location.tolist()),
                obb=Box(tuple(pose.half_extents.tolist())),
                rules=pose.rules,
                tries=tries,
            )
        )
        self._space.carve(cell, pose.lattice)
        self._renew_free(cell, pose.lattice)
        reach = np.linalg.norm(pose.half_extents) + self._layout.near_slack
        self._widen_near(location, reach)
        vertices = self._meshes.hull(class_id) * pose.scale @ pose.rotation.T + location
        rectangle = self._camera.rectangle(vertices)
        if rectangle is not None:
            x, y = self._pixels
            x1, y1, x2, y2 = rectangle
            self._covered |= (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)

    def _renew_free(self, cell: int, lattice: BoxLattice) -> None:
        """After a box was carved out at `cell`: only the layers of cells that it reaches have changed."""
        layer, rows = cell // self._grid.valid[0].size, len(self._grid.y)
        first, stop = layer + lattice.dz.min(), layer + lattice.dz.max() + 1
        part = slice(self._row_starts[first * rows], self._row_starts[stop * rows])
        self._free[part] &= self._space.valid.reshape(-1)[self._cells[part]]

    def _widen_near(self, location: np.ndarray, reach: float) -> None:
        """Mark the cells within `reach` of a point (3,): layer by layer, in each a few rows."""
        grid, rows, (x, y, z) = self._grid, len(self._grid.y), location
        along = ((grid.x - x) ** 2)[None, :] + ((grid.y - y) ** 2)[:, None]  # of a column, squared
        along = along.reshape(-1)
        for layer, height in enumerate((grid.z - z) ** 2):
            left = reach**2 - height
            if left < -_TINY:
                continue
            across = np.sqrt(max(left, 0.0)) + _TINY
            first, stop = np.searchsorted(grid.y, (y - across, y + across)) + layer * rows
            part = slice(self._row_starts[first], self._row_starts[stop])
            if not self._near[part].all():
                self._near[part] |= along[self._columns[part]] + height <= reach**2


def _far_enough(grid: RoomGrid, camera: Pinhole, limits: tuple[float, float]) -> np.ndarray:
    """Valid cells horizontally between the limits from the camera, ends excluded: (nz, ny, nx) bool."""
    distance = np.hypot(grid.x[None, :] - camera.location[0], grid.y[:, None] - camera.location[1])
    return grid.valid & (distance > limits[0]) & (distance < limits[1])


def draw_size(rng: np.random.Generator, layout: Layout) -> tuple[float, int]:
    """A size from the mixture and the number of its bin."""
    size_bin = int(rng.choice(len(layout.size_probs), p=layout.size_probs))
    return float(rng.uniform(*layout.size_bins[size_bin])), size_bin


def place_objects(rng: np.random.Generator, config: SolidConfig, placer: Placer, num_classes: int) -> int:
    """Attempt a uniform number of objects, each the previous model by `reuse_prob`; returns the number."""
    layout = config.layout
    attempted = int(rng.integers(layout.num_objects[0], layout.num_objects[1] + 1))
    previous: int | None = None
    for number in range(attempted):
        if previous is None or rng.random() >= layout.reuse_prob:
            previous = int(rng.integers(num_classes))
        # An object that found no place is left out and still counts as the previous one (published code).
        if placer.place(rng, str(number), previous) and placer.full:
            break
    return attempted
