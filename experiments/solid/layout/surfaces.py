"""Where one can stand in a room and how high it is: floors, ceilings, heights (SOLID, backdrop).

A patch is a set of nearly horizontal triangles connected over edges; small patches (sills, mouldings) do not
count.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from experiments.solid.library import Room

NORMAL_TOLERANCE = 0.1  # |n.z| may be that far from 1, i.e. slopes up to 25.8 degrees (published code)
MIN_PATCH_AREA = 0.1  # published code
_WELD = 1e-4  # vertices closer than this are one: triangle lists repeat every vertex


def horizontal_patches(triangles: np.ndarray) -> list[np.ndarray]:
    """The horizontal patches of one mesh: from triangles (T, 3, 3) to arrays (P, 3, 3), one a patch."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    # A triangle without area has no normal and would make 0/0.
    level = (lengths > 1e-12) & (np.abs(normals[:, 2]) >= (1 - NORMAL_TOLERANCE) * lengths)
    flat, areas = triangles[level], lengths[level] / 2
    if not len(flat):
        return []
    labels = _connected_over_edges(flat)
    patches = [labels == label for label in range(labels.max() + 1)]
    return [flat[patch] for patch in patches if areas[patch].sum() >= MIN_PATCH_AREA]


def _connected_over_edges(triangles: np.ndarray) -> np.ndarray:
    """Label (T,) of the edge-connected component of each triangle."""
    keys = np.round(triangles.reshape(-1, 3) / _WELD).astype(np.int64)
    _, vertex = np.unique(keys, axis=0, return_inverse=True)
    corners = vertex.reshape(-1, 3)
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    owner = np.tile(np.arange(len(triangles)), 3)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    edges, owner = edges[order], owner[order]
    shared = (edges[1:] == edges[:-1]).all(axis=1)
    pairs = owner[:-1][shared], owner[1:][shared]
    graph = coo_array((np.ones(len(pairs[0])), pairs), shape=(len(triangles),) * 2)
    return connected_components(graph, directed=False)[1]


def patches_of(room: Room, kind: str) -> list[np.ndarray]:
    """All horizontal patches of the room's surfaces of one kind; patches never span two surfaces."""
    return [
        patch
        for number, surface in enumerate(room.surfaces)
        if surface.kind == kind
        for patch in horizontal_patches(room.triangles[room.surface == number])
    ]


def column_heights(patches: list[np.ndarray], x: np.ndarray, y: np.ndarray, *, kind: str) -> np.ndarray:
    """Height (len(y), len(x)) of the floor or ceiling over each column.

    A floor is as high as the highest vertex of the highest triangle there, -inf where there is none; a
    ceiling as low as the mean of the lowest and the highest vertex of the lowest triangle, +inf where there
    is none (published code).
    """
    floor = kind == "floor"
    heights = np.full((len(y), len(x)), -np.inf if floor else np.inf)
    for triangle in (triangle for patch in patches for triangle in patch):
        low, high = triangle[:, :2].min(axis=0), triangle[:, :2].max(axis=0)
        columns = slice(*np.searchsorted(x, (low[0] - _WELD, high[0] + _WELD)))
        rows = slice(*np.searchsorted(y, (low[1] - _WELD, high[1] + _WELD)))
        inside = _inside(triangle[:, :2], x[columns], y[rows])
        block = heights[rows, columns]
        if floor:
            block[inside] = np.maximum(block[inside], triangle[:, 2].max())
        else:
            block[inside] = np.minimum(block[inside], (triangle[:, 2].min() + triangle[:, 2].max()) / 2)
    return heights


def _inside(triangle: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points of the lattice y times x lie in the triangle (3, 2), borders (within _WELD) included."""
    sides = []
    for a, b in zip(triangle, np.roll(triangle, -1, axis=0), strict=True):
        side = (b[0] - a[0]) * (y[:, None] - a[1]) - (b[1] - a[1]) * (x[None, :] - a[0])
        sides.append(side / max(np.hypot(*(b - a)), _WELD))  # signed distance from the edge's line
    sides = np.stack(sides)
    return (sides >= -_WELD).all(axis=0) | (sides <= _WELD).all(axis=0)
