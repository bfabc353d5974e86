# SPDX-License-Identifier: GPL-3.0-or-later
"""Which objects can be rendered "alone" together: those whose pictures cannot touch. NumPy only."""

from __future__ import annotations

import numpy as np

from experiments.solid.layout.geometry import box_corners, euler_matrix
from experiments.solid.layout.scene import PlacedObject, Scene

MARGIN = 2.0  # pixels around a rectangle, for rounding and for the sample's place inside its pixel
NEAR = 1e-3  # scene units before the camera; a box that reaches behind it has no rectangle


def pixel_rectangle(scene: Scene, placed: PlacedObject) -> tuple[float, float, float, float] | None:
    """A rectangle (x1, y1, x2, y2) in pixels that surely holds the object; None if there is no bounded one.

    It is that of the oriented bounding box's corners, so it depends on no vertex.
    """
    corners = box_corners(
        np.array(placed.location), euler_matrix(np.array(placed.euler)), np.array(placed.obb.half_extents)
    )
    seen = (corners - np.array(scene.camera.location)) @ np.array(scene.camera.rotation)
    if (seen[:, 2] > -NEAR).any():
        return None
    width, height = scene.resolution
    focal = width / (2 * np.tan(scene.fov / 2))
    x = width / 2 + focal * seen[:, 0] / -seen[:, 2]
    y = height / 2 - focal * seen[:, 1] / -seen[:, 2]
    return x.min() - MARGIN, y.min() - MARGIN, x.max() + MARGIN, y.max() + MARGIN


def solo_groups(scene: Scene) -> list[list[int]]:
    """Split the object numbers of a scene into groups whose rectangles are pairwise disjoint, the first fit
    each.

    Objects that cannot reach into the picture are in no group. An object without a rectangle has a group of
    its own.
    """
    width, height = scene.resolution
    groups: list[list[int]] = []
    held: list[list[tuple[float, float, float, float]]] = []
    alone: list[list[int]] = []
    for number, placed in enumerate(scene.objects):
        box = pixel_rectangle(scene, placed)
        if box is None:
            alone.append([number])
            continue
        if box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
            continue
        place = next(
            (i for i, boxes in enumerate(held) if not any(_overlap(box, b) for b in boxes)), len(held)
        )
        if place == len(held):
            held.append([])
            groups.append([])
        held[place].append(box)
        groups[place].append(number)
    return groups + alone


def group_border(scene: Scene, numbers: list[int]) -> tuple[float, float, float, float] | None:
    """The part of the picture that holds these objects: x1, y1, x2, y2 as shares of it with y down.

    None: all of it, for an object without a rectangle.
    """
    boxes = [pixel_rectangle(scene, scene.objects[number]) for number in numbers]
    if any(box is None for box in boxes):
        return None
    (x1, y1), (x2, y2) = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    width, height = scene.resolution
    return max(x1, 0) / width, max(y1, 0) / height, min(x2, width) / width, min(y2, height) / height


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
