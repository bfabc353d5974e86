"""Exact collision tests by separating axes: one box at many places against boxes and triangles.

Two convex bodies are disjoint if and only if some axis separates their projections; for boxes and triangles
it is enough to try the face normals and the cross products of edges (Gottschalk et al., 1996;
Akenine-Moeller, 2001). Axes need no unit length, and the zero axes of parallel edges separate nothing, so no
case is special. Bodies that touch count as meeting.
"""

from __future__ import annotations

import numpy as np

_PAIRS = 4_000_000  # box-triangle pairs looked at together: about 100 MB at most


def boxes_meet_boxes(
    centers: np.ndarray,
    rotation: np.ndarray,
    half_extents: np.ndarray,
    *,
    other_centers: np.ndarray,
    other_rotations: np.ndarray,
    other_half_extents: np.ndarray,
) -> np.ndarray:
    """Whether a box meets any of P others, for its centre at each of (B, 3): (B,) bool.

    `rotation` (3, 3) and `half_extents` (3,) are the same for all B; the others have (P, 3), (P, 3, 3) and
    (P, 3).
    """
    others = len(other_centers)
    mine = np.broadcast_to(rotation.T, (others, 3, 3))  # rows are the box's axes
    theirs = np.swapaxes(other_rotations, 1, 2)
    crossed = np.cross(mine[:, :, None], theirs[:, None, :]).reshape(others, 9, 3)
    axes = np.concatenate([mine, theirs, crossed], axis=1)  # (P, 15, 3)
    reach = np.abs(axes @ np.swapaxes(mine, 1, 2)) @ half_extents
    reach += (np.abs(axes @ np.swapaxes(theirs, 1, 2)) @ other_half_extents[..., None])[..., 0]
    gaps = np.abs(np.einsum("bpi,pai->bpa", centers[:, None] - other_centers, axes))
    return ~(gaps > reach).any(axis=2).all(axis=1)


def boxes_meet_triangles(
    centers: np.ndarray, rotation: np.ndarray, half_extents: np.ndarray, triangles: np.ndarray
) -> np.ndarray:
    """Whether a box meets any of the triangles (T, 3, 3), for its centre at each of (B, 3): (B,) bool."""
    meets = np.zeros(len(centers), bool)
    if not len(triangles) or not len(centers):
        return meets
    span = np.abs(rotation) @ half_extents  # half-extents of the axis-aligned box around the oriented one
    a, b, c = np.swapaxes(triangles, 0, 1)  # much faster than a reduction over an axis of three
    low, high = np.minimum(np.minimum(a, b), c) - span, np.maximum(np.maximum(a, b), c) + span
    # Only triangles that one of the places can reach at all.
    close = ((high >= centers.min(axis=0)) & (low <= centers.max(axis=0))).all(axis=1)
    low, high, local = low[close], high[close], triangles[close] @ rotation
    chunk = max(1, _PAIRS // max(len(local), 1))
    for start in range(0, len(centers), chunk):
        part = centers[start : start + chunk]
        near = np.ones((len(part), len(local)), bool)
        for axis in range(3):
            near &= (part[:, None, axis] >= low[:, axis]) & (part[:, None, axis] <= high[:, axis])
        box, triangle = np.nonzero(near)
        hit = _meet_in_box_frame(local[triangle] - (part @ rotation)[box][:, None], half_extents)
        meets[start + box[hit]] = True
    return meets


def _meet_in_box_frame(triangles: np.ndarray, half_extents: np.ndarray) -> np.ndarray:
    """Whether triangles (N, 3, 3), given in the axes of a box at the origin, meet it: (N,) bool."""
    apart = ((triangles.min(axis=1) > half_extents) | (triangles.max(axis=1) < -half_extents)).any(axis=1)
    left = np.flatnonzero(~apart)
    vertices = triangles[left]
    edges = np.roll(vertices, -1, axis=1) - vertices
    normals = np.cross(edges[:, 0], edges[:, 1])
    crossed = np.cross(np.eye(3)[None, :, None], edges[:, None]).reshape(len(left), 9, 3)
    axes = np.concatenate([normals[:, None], crossed], axis=1)  # (N, 10, 3)
    projections = axes @ np.swapaxes(vertices, 1, 2)  # (N, 10 axes, 3 vertices)
    reach = np.abs(axes) @ half_extents
    separated = (projections.min(axis=2) > reach) | (projections.max(axis=2) < -reach)
    result = np.zeros(len(triangles), bool)
    result[left] = ~separated.any(axis=1)
    return result
