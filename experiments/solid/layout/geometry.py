"""Rotations and boxes. Vectors are rows, matrices act from the left on columns, angles are radians."""

from __future__ import annotations

import numpy as np

CORNER_SIGNS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)


def euler_matrix(euler: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) of Blender's XYZ Euler angles (3,): about the fixed axes x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(euler), np.sin(euler)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def look_at_matrix(location: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Camera-to-world rotation (3, 3): -Z toward the target, Y up, no roll. The view must not be vertical."""
    forward = np.asarray(target, dtype=np.float64) - location
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, forward), -forward], axis=1)


def box_corners(center: np.ndarray, rotation: np.ndarray, half_extents: np.ndarray) -> np.ndarray:
    """The eight corners (8, 3) of an oriented box."""
    return center + (CORNER_SIGNS * half_extents) @ rotation.T
