"""When are two meshes the same shape? A signature that position, rotation, mirroring and size do not change.

The signature is made of moments of the surface, integrated exactly over each triangle, so it does not depend
on how vertices are ordered, duplicated at texture seams, or how polygons were cut into triangles either. Two
meshes with the same signature are called twins. Textures do not enter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

TWIN_TOLERANCE = 2e-4  # Euclidean distance of signatures; OBJ text of six digits moves them by about 1e-5

# 12-point rule on a triangle, exact to degree 6 (Dunavant 1985, table II): (weight, barycentric coordinates).
_A, _B, _C = 0.063089014491502, 0.249286745170910, 0.053145049844816
_D = 0.310352451033785
_ORBITS = (
    (0.050844906370207, ((1 - 2 * _A, _A, _A),)),
    (0.116786275726379, ((1 - 2 * _B, _B, _B),)),
    (0.082851075618374, ((_C, _D, 1 - _C - _D), (_D, _C, 1 - _C - _D))),
)
_RULE = [
    (weight, tuple(np.roll(point, shift)))
    for weight, points in _ORBITS
    for point in points
    for shift in range(3)
]
_WEIGHTS = np.array([weight for weight, _ in _RULE])
_POINTS = np.array([point for _, point in _RULE])


def triangle_areas(triangles: np.ndarray) -> np.ndarray:
    """Areas (F,) of triangles (F, 3, 3)."""
    return 0.5 * np.linalg.norm(
        np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1
    )


def similarity_signature(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Seven numbers of vertices (V, 3) and faces (F, 3) that no similarity transform changes.

    Two ratios of principal moments, fourth and sixth radial moment, length of the third moment vector, area
    and enclosed volume in units of the root-mean-square radius. The mesh must have a positive area.
    """
    triangles = np.asarray(vertices, dtype=np.float64)[faces]
    areas = triangle_areas(triangles)
    area = areas.sum()
    center = (areas[:, None] * triangles.mean(axis=1)).sum(axis=0) / area
    triangles = triangles - center
    points = np.einsum("qk,fkd->fqd", _POINTS, triangles)
    weights = areas[:, None] * _WEIGHTS / area
    radius2 = (points**2).sum(axis=2)
    moment2 = (weights * radius2).sum()
    principal = np.linalg.eigvalsh(np.einsum("fq,fqd,fqe->de", weights, points, points))[::-1] / moment2
    vector = np.einsum("fq,fq,fqd->d", weights, radius2, points)
    volume = abs(np.einsum("fd,fd->f", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])).sum()) / 6
    return np.array(
        [
            principal[0],
            principal[1],
            (weights * radius2**2).sum() / moment2**2,
            (weights * radius2**3).sum() / moment2**3,
            np.linalg.norm(vector) / moment2**1.5,
            np.log(area / moment2),
            volume / moment2**1.5,
        ]
    )


def find_twins(signatures: Sequence[np.ndarray], tolerance: float = TWIN_TOLERANCE) -> dict[int, int]:
    """{later position: earlier position} of meshes whose shape an earlier kept mesh has already."""
    if len(signatures) < 2:
        return {}
    pairs = cKDTree(np.stack(signatures)).query_pairs(tolerance, output_type="ndarray")
    earlier: dict[int, list[int]] = {}
    for low, high in np.sort(pairs, axis=1).tolist():
        earlier.setdefault(high, []).append(low)
    twins: dict[int, int] = {}
    for high in sorted(earlier):
        kept = [low for low in sorted(earlier[high]) if low not in twins]
        if kept:
            twins[high] = kept[0]
    return twins
