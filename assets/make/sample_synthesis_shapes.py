"""Shapes of assets/sample_synthesis as arrays: quads with a look each, no Blender here. Metres, z is up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

Color = tuple[float, float, float]  # linear


@dataclass(frozen=True, eq=False)
class Look:
    """A surface. `texture` is a file or a picture (h, w, 3) uint8, multiplied by the colour."""

    color: Color = (0.8, 0.8, 0.8)
    roughness: float = 0.7
    metallic: float = 0.0
    texture: Path | np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Shape:
    """Quads or triangles of one surface."""

    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3 or 4) into vertices, counter-clockwise seen from outside
    look: Look
    uvs: np.ndarray | None = None  # (V, 2)
    colors: np.ndarray | None = None  # (V, 3), linear; they take the place of the look's colour
    smooth: bool = False

    def moved(self, rotation: np.ndarray, shift: Sequence[float] = (0, 0, 0), scale: float = 1.0) -> Shape:
        """Scaled, then rotated (3, 3), then shifted."""
        return replace(self, vertices=self.vertices * scale @ np.asarray(rotation).T + np.asarray(shift))


def turn(axis: str, angle: float) -> np.ndarray:
    """Rotation (3, 3) about x, y or z by radians."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def grid_faces(rows: int, columns: int, *, closed: bool = False) -> np.ndarray:
    """Quads (F, 4) over rows x columns vertices in row order; `closed` joins the last column to the first."""
    row, column = np.meshgrid(
        np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij"
    )
    right = (column + 1) % columns
    a, b = row * columns + column, row * columns + right
    return np.stack([a, b, b + columns, a + columns], axis=-1).reshape(-1, 4)


def quad(corners: Sequence[Sequence[float]], look: Look, repeats: tuple[float, float] = (1, 1)) -> Shape:
    """A flat quad; its picture's lower left is at the first corner and its lower right at the second."""
    uvs = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=float) * repeats
    return Shape(np.array(corners, dtype=float), np.array([[0, 1, 2, 3]]), look, uvs)


def box(size: Sequence[float], look: Look, center: Sequence[float] = (0, 0, 0)) -> Shape:
    """An axis-parallel box; each face shows the whole texture."""
    x, y, z = np.asarray(size) / 2
    sides = [
        [(-x, -y, -z), (x, -y, -z), (x, -y, z), (-x, -y, z)],
        [(x, y, -z), (-x, y, -z), (-x, y, z), (x, y, z)],
        [(x, -y, -z), (x, y, -z), (x, y, z), (x, -y, z)],
        [(-x, y, -z), (-x, -y, -z), (-x, -y, z), (-x, y, z)],
        [(-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)],
        [(-x, y, -z), (x, y, -z), (x, -y, -z), (-x, -y, -z)],
    ]  # fmt: skip
    uvs = np.tile(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=float), (6, 1))
    vertices = np.array(sides).reshape(-1, 3) + np.asarray(center)
    return Shape(vertices, np.arange(24).reshape(6, 4), look, uvs)


def loft(rings: np.ndarray, look: Look, *, smooth: bool = True, caps: bool = True) -> Shape:
    """A skin over rings (R, C, 3) of points; counter-clockwise as seen from beyond the last ring."""
    count, columns = rings.shape[:2]
    vertices, faces = rings.reshape(-1, 3), [grid_faces(count, columns, closed=True)]
    if caps:
        ends = np.stack([rings[0].mean(axis=0), rings[-1].mean(axis=0)])
        vertices = np.concatenate([vertices, ends])
        ring, after = np.arange(columns), (np.arange(columns) + 1) % columns
        first, last = np.full(columns, count * columns), np.full(columns, count * columns + 1)
        start = (count - 1) * columns
        faces.append(np.stack([first, after, ring, ring], axis=1))
        faces.append(np.stack([last, start + ring, start + after, start + after], axis=1))
    return Shape(vertices, np.concatenate(faces), look, smooth=smooth)


def ellipsoid(center: Sequence[float], radii: Sequence[float], look: Look, *, segments: int = 20) -> Shape:
    """A smooth ellipsoid with its poles on the x axis."""
    polar = np.linspace(0.02, np.pi - 0.02, segments // 2 + 1)
    around = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    rings = np.stack(
        [
            np.repeat(-np.cos(polar)[:, None], segments, axis=1),
            np.sin(polar)[:, None] * np.cos(around),
            np.sin(polar)[:, None] * np.sin(around),
        ],
        axis=-1,
    )
    return loft(rings * np.asarray(radii) + np.asarray(center), look)


def tube(path: np.ndarray, radii: np.ndarray | float, look: Look, *, sides: int = 10) -> Shape:
    """A round tube along a path (N, 3); `radii`: one, or one a point."""
    path = np.asarray(path, dtype=float)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    helper = np.eye(3)[np.argmin(np.abs(along).max(axis=0))]
    side = np.cross(along, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(along, side)
    around = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    radii = np.broadcast_to(radii, len(path))[:, None, None]
    return loft(path[:, None] + radii * (np.cos(around) * side[:, None] + np.sin(around) * up[:, None]), look)
