"""The voxel grid: which points of a room are free, and whether a box fits there (SOLID, object placement).

The published code tests "fits" for all cells of a 144^3 grid at once by an FFT correlation for every drawn
pose, and compares its float result with `==`. Here the same question is asked of a few cells only, exactly,
with integers: a box is convex, so each of its lattice rows along x is one run of cells, and a row is free if
the next occupied cell lies behind the row's end. `FreeSpace` keeps that "next occupied" index for every cell
and renews it where a box was carved.

Lattice of a box: all offsets (multiples of the stride) that lie in the box with half-extents widened by half
a stride. It is centred on the box and has odd counts per axis, so it always holds the centre: the published
lattice starts at a corner and is empty for small or thin boxes, which then "fit" everywhere and occupy
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.surfaces import column_heights, patches_of
from experiments.solid.library import Room

_HEIGHT_TOLERANCE = 1e-4  # float32 room vertices: a floor at 0 may read 1e-7
_FIRST_ROWS = 4  # rows tested before the first cells are dropped; doubled after each round
_BOUNDARY = 1e-9  # a lattice point on the box's face is inside


@dataclass(frozen=True, eq=False)
class RoomGrid:
    """Free cells of an empty room, cropped to their bounding box."""

    x: np.ndarray  # (nx,) coordinates
    y: np.ndarray  # (ny,)
    z: np.ndarray  # (nz,)
    stride: float
    valid: np.ndarray  # (nz, ny, nx) bool, read-only
    columns: np.ndarray  # (C, 4) float64: x, y, lowest and highest valid z of each column that has any

    def coordinates(self, cells: np.ndarray) -> np.ndarray:
        """World positions (N, 3) of flat cell numbers (N,)."""
        k, j, i = np.unravel_index(cells, self.valid.shape)
        return np.stack([self.x[i], self.y[j], self.z[k]], axis=-1)


@lru_cache(maxsize=64)  # more than the 40 rooms of the paper; about 2 MB each at 144^3
def room_grid(room: Room, footprint: float, cells_per_unit: int) -> RoomGrid:
    """Voxelise a room, the same number of cells per axis: x, y in +-footprint/2, z in [0, footprint].

    Valid is a cell over a floor, not below the highest floor and not above the lowest ceiling there.
    Raises LayoutFailure if the room has no free cell.
    """
    count = round(footprint * cells_per_unit)
    x = np.linspace(-footprint / 2, footprint / 2, count)
    z = np.linspace(0, footprint, count)
    floor = column_heights(patches_of(room, "floor"), x, x, kind="floor")
    ceiling = column_heights(patches_of(room, "ceiling"), x, x, kind="ceiling")
    heights = z[:, None, None]
    valid = (
        np.isfinite(floor) & (heights >= floor - _HEIGHT_TOLERANCE) & (heights <= ceiling + _HEIGHT_TOLERANCE)
    )
    if not valid.any():
        raise LayoutFailure(f"room {room.id}: no free cell between floor and ceiling")
    crop = tuple(
        slice(hits.min(), hits.max() + 1)
        for hits in (np.flatnonzero(valid.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    )
    valid = np.ascontiguousarray(valid[crop])
    valid.setflags(write=False)
    z, y, x = z[crop[0]], x[crop[1]], x[crop[2]]
    j, i = np.nonzero(valid.any(axis=0))
    lowest = z[valid.argmax(axis=0)[j, i]]
    highest = z[len(z) - 1 - valid[::-1].argmax(axis=0)[j, i]]
    return RoomGrid(
        x=x,
        y=y,
        z=z,
        stride=footprint / (count - 1),
        valid=valid,
        columns=np.stack([x[i], y[j], lowest, highest], axis=1),
    )


@dataclass(frozen=True)
class BoxLattice:
    """The cells of a box relative to its centre, as runs along x; the farthest rows come first."""

    dz: np.ndarray  # (M,) int64
    dy: np.ndarray  # (M,)
    first: np.ndarray  # (M,) first dx of the run
    last: np.ndarray  # (M,) last dx, inclusive

    @property
    def size(self) -> int:
        """Number of cells, at least 1."""
        return int((self.last - self.first + 1).sum())


def box_lattice(rotation: np.ndarray, half_extents: np.ndarray, stride: float) -> BoxLattice:
    """The lattice of an oriented box, see the module's docstring."""
    widened = half_extents + stride / 2 + _BOUNDARY
    reach = np.floor(np.abs(rotation) @ widened / stride).astype(np.int64)
    dz, dy = (
        grid.ravel()
        for grid in np.meshgrid(
            np.arange(-reach[2], reach[2] + 1), np.arange(-reach[1], reach[1] + 1), indexing="ij"
        )
    )
    first, last = np.full(dz.shape, -reach[0], np.float64), np.full(dz.shape, reach[0], np.float64)
    for axis in range(3):  # clip the row to the slab |p . axis| <= widened
        along, constant = (
            rotation[0, axis] * stride,
            (dy * rotation[1, axis] + dz * rotation[2, axis]) * stride,
        )
        if abs(along) < 1e-12:
            first[np.abs(constant) > widened[axis]] = np.inf
            continue
        ends = np.stack([(-widened[axis] - constant) / along, (widened[axis] - constant) / along])
        first, last = np.maximum(first, ends.min(axis=0)), np.minimum(last, ends.max(axis=0))
    first, last = np.ceil(first), np.floor(last)
    some = first <= last
    dz, dy, first, last = dz[some], dy[some], first[some].astype(np.int64), last[some].astype(np.int64)
    # The corners are the likeliest to stick out, so most misfits are found in the first rows.
    order = np.argsort(-(dz**2 + dy**2 + np.maximum(np.abs(first), np.abs(last)) ** 2), kind="stable")
    return BoxLattice(dz[order], dy[order], first[order], last[order])


class FreeSpace:
    """The free cells of one scene; shrinks as boxes are carved out."""

    def __init__(self, valid: np.ndarray):
        """`valid`: (nz, ny, nx) bool, copied."""
        self.valid = np.array(valid, order="C")
        self.shape = self.valid.shape
        self._columns = np.arange(self.shape[2], dtype=np.int16)
        self._next_occupied = np.empty(self.shape, np.int16)  # along x; nx if none
        self._renew(slice(None))

    def _renew(self, rows: object) -> None:
        blocked = np.where(self.valid[rows], np.int16(self.shape[2]), self._columns)
        self._next_occupied[rows] = np.minimum.accumulate(blocked[..., ::-1], axis=-1)[..., ::-1]

    def _offsets(self, lattice: BoxLattice) -> np.ndarray:
        return (lattice.dz * self.shape[1] + lattice.dy) * self.shape[2] + lattice.first

    def fits(self, cells: np.ndarray, lattice: BoxLattice) -> np.ndarray:
        """Whether the box, centred at flat cell numbers (N,), lies wholly in free cells: (N,) bool."""
        k, j, i = np.unravel_index(cells, self.shape)
        inside = np.ones(len(cells), bool)
        for position, low, high, size in (
            (k, lattice.dz, lattice.dz, self.shape[0]),
            (j, lattice.dy, lattice.dy, self.shape[1]),
            (i, lattice.first, lattice.last, self.shape[2]),
        ):
            inside &= (position + low.min() >= 0) & (position + high.max() < size)
        alive = np.flatnonzero(inside)
        following, offsets = self._next_occupied.ravel(), self._offsets(lattice)
        start, count = 0, _FIRST_ROWS
        while start < len(offsets) and alive.size:
            rows = slice(start, start + count)
            ends = i[alive, None] + lattice.last[rows]
            free = (following[cells[alive, None] + offsets[rows]] > ends).all(axis=1)
            alive = alive[free]
            start, count = start + count, 2 * count
        result = np.zeros(len(cells), bool)
        result[alive] = True
        return result

    def carve(self, cell: int, lattice: BoxLattice) -> None:
        """Occupy the cells of a box that fits at `cell`."""
        k, j, _ = np.unravel_index(cell, self.shape)
        lengths = lattice.last - lattice.first + 1
        within_run = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self.valid.reshape(-1)[np.repeat(cell + self._offsets(lattice), lengths) + within_run] = False
        self._renew((k + lattice.dz, j + lattice.dy))
