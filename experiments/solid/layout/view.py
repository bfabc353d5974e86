"""Which free cells of a room a camera sees: rows of the grid are cut to the view, then cells are tested.

A view holds a tenth to a quarter of a room's cells. Each of its four side planes cuts a row of cells (fixed y
and z) at one x, so the part of a row that can be in the view is known without looking at its cells. That part
is widened by a cell at both ends; the exact test of `Pinhole.sees` decides about what is left.
"""

from __future__ import annotations

import numpy as np

from experiments.solid.layout.camera import Pinhole
from experiments.solid.layout.grid import RoomGrid

_PARALLEL = 1e-9  # a plane at a smaller angle to the rows cuts them nowhere in the room
_SLACK = 1e-6  # beyond the rounding of coordinates of a few metres


def seen_cells(grid: RoomGrid, camera: Pinhole, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells of `valid` (nz, ny, nx) bool whose centre the camera sees, in ascending order.

    Returns flat cell numbers (N,) int64 and positions in camera axes (N, 3).
    """
    nz, ny, nx = grid.valid.shape
    first, last = row_ranges(grid, camera)
    rows = np.flatnonzero(first <= last)
    lengths = last[rows] - first[rows] + 1
    i = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths - first[rows], lengths)
    cells = np.repeat(rows * nx, lengths) + i
    kept = valid.reshape(-1)[cells]
    cells, i, rows = cells[kept], i[kept], np.repeat(rows, lengths)[kept]
    positions = np.empty((len(cells), 3))
    positions[:, 0], positions[:, 1], positions[:, 2] = (
        grid.x[i], np.tile(grid.y, nz)[rows], np.repeat(grid.z, ny)[rows]
    )  # fmt: skip
    local = camera.to_camera(positions)
    seen = np.flatnonzero(camera.sees(local))
    return cells[seen], local[seen]


def row_ranges(grid: RoomGrid, camera: Pinhole) -> tuple[np.ndarray, np.ndarray]:
    """First and last cell (nz * ny,) int64 of every row that may be in view; first > last: none is."""
    rotation, (x0, y0, z0) = camera.rotation, camera.location
    across = (grid.y - y0)[None, :, None] * rotation[1] + (grid.z - z0)[:, None, None] * rotation[2]
    across = across.reshape(-1, 3)  # camera axes of the row's point at x = x0
    low, high = np.full(len(across), -np.inf), np.full(len(across), np.inf)
    for axis, tangent in enumerate(camera.tangents):
        for side in (-1.0, 1.0):  # seen is where slope * (x - x0) + constant >= 0
            slope = -tangent * rotation[0, 2] + side * rotation[0, axis]
            constant = -tangent * across[:, 2] + side * across[:, axis]
            if abs(slope) < _PARALLEL:
                low[constant < -_SLACK] = np.inf
            elif slope > 0:
                np.maximum(low, -constant / slope, out=low)
            else:
                np.minimum(high, -constant / slope, out=high)
    count = len(grid.x)
    first = np.clip(np.floor((low + x0 - grid.x[0]) / grid.stride) - 1, 0, count)
    last = np.clip(np.ceil((high + x0 - grid.x[0]) / grid.stride) + 1, -1, count - 1)
    return first.astype(np.int64), last.astype(np.int64)
