"""Do two convex bodies meet? Answered by cutting polygons, for the audit: nothing of `collide` is used.

A polygon is cut by the six planes of a box, one after the other (Sutherland and Hodgman, 1974); what is left
is the part inside the box. A box meets another if a face of it is cut to something, or if it holds the other
one's centre.
"""

from __future__ import annotations

import numpy as np

_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


class SolidBox:
    """An oriented box as eight corners, six faces and six half-spaces."""

    def __init__(self, center: np.ndarray, axes: np.ndarray, half_extents: np.ndarray):
        """`axes` (3, 3): the box's axes in world space, one a row."""
        self.center, self.radius = np.array(center), float(np.sqrt((np.array(half_extents) ** 2).sum()))
        self.half_spaces = []  # (outward normal, offset): inside means normal . p <= offset
        for axis, half in zip(axes, half_extents, strict=True):
            for sign in (-1.0, 1.0):
                normal = sign * axis
                self.half_spaces.append((normal, float(normal @ self.center + half)))
        corners = [
            self.center
            + x * half_extents[0] * axes[0]
            + y * half_extents[1] * axes[1]
            + z * half_extents[2] * axes[2]
            for x in (-1, 1)
            for y in (-1, 1)
            for z in (-1, 1)
        ]
        self.faces = [np.array([corners[i] for i in face]) for face in _FACES]

    def holds(self, point: np.ndarray) -> bool:
        return all(normal @ point <= offset for normal, offset in self.half_spaces)

    def cut(self, polygon: np.ndarray) -> np.ndarray:
        """The part of a convex polygon (N, 3) inside the box: (M, 3), empty if there is none."""
        for normal, offset in self.half_spaces:
            heights = polygon @ normal - offset
            kept = []
            for i in range(len(polygon)):
                here, there = heights[i], heights[(i + 1) % len(polygon)]
                if here <= 0:
                    kept.append(polygon[i])
                if (here < 0 < there) or (there < 0 < here):
                    kept.append(
                        polygon[i] + here / (here - there) * (polygon[(i + 1) % len(polygon)] - polygon[i])
                    )
            if not kept:
                return np.empty((0, 3))
            polygon = np.array(kept)
        return polygon

    def meets_triangle(self, triangle: np.ndarray) -> bool:
        """Whether a triangle (3, 3) meets the box; touching counts."""
        return len(self.cut(triangle)) > 0

    def meets_box(self, other: SolidBox) -> bool:
        """Whether another box meets this one; touching counts."""
        if np.linalg.norm(self.center - other.center) > self.radius + other.radius:
            return False
        return (
            self.holds(other.center) or other.holds(self.center) or any(len(self.cut(f)) for f in other.faces)
        )
