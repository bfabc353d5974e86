"""Boxes, label map, visibility and pose of the objects in a rendered scene, from id maps alone. NumPy only.

One box per object with at least one visible pixel, in the order in which objects appear in the id map (rows
from the top, each from the left). No object is filtered by size or visibility [SOLID, published code].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from experiments.solid.layout.geometry import euler_matrix
from experiments.solid.layout.scene import Scene

if TYPE_CHECKING:  # the renderer imports bpy
    from experiments.solid.render.renderer import RenderedView

MAX_BOXES = 255  # label maps are uint8


@dataclass(frozen=True, eq=False)
class Annotation:
    """n boxes; row i belongs to label i + 1."""

    bboxes: np.ndarray  # (n, 5) int32: x1, y1, x2, y2 half-open pixels, class id
    label_map: np.ndarray  # (H, W) uint8: 0 none, k = row k - 1 of bboxes
    visibility: np.ndarray  # (n,) float32 in (0, 1]: visible pixels / pixels inside the frame when alone
    mask_bbox_ratio: np.ndarray  # (n,) float32 in (0, 1]: visible pixels / pixels of the box
    angles: np.ndarray  # (n, 3) float32: XYZ Euler angles of the object as seen from the camera, radians


def annotate(ids: np.ndarray, solo_areas: np.ndarray, scene: Scene) -> Annotation:
    """Annotate one target picture.

    ids: (H, W) integers, 0 background or room, k = `scene.objects[k - 1]`. solo_areas: (n,) pixels of each
    object of the scene when rendered alone. Raises ValueError if the two contradict each other.
    """
    present = order_of_appearance(ids)
    if len(present) > MAX_BOXES:
        raise ValueError(f"{len(present)} visible objects, a uint8 label map holds {MAX_BOXES}")
    if present.size and (present.min() < 0 or present.max() > len(scene.objects)):
        raise ValueError(f"id {present.max()} in a scene of {len(scene.objects)} objects")
    labels = np.zeros(len(scene.objects) + 1, dtype=np.uint8)
    labels[present] = np.arange(1, len(present) + 1)
    label_map = labels[ids]
    boxes, areas = boxes_and_areas(label_map, len(present))
    alone = np.asarray(solo_areas, dtype=np.int64)[present - 1]
    if (alone < areas).any():
        raise ValueError(f"visible areas {areas.tolist()} exceed areas alone {alone.tolist()}")
    classes = np.array([scene.objects[k - 1].class_id for k in present], dtype=np.int32).reshape(-1, 1)
    box_areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Annotation(
        bboxes=np.concatenate([boxes.astype(np.int32), classes], axis=1),
        label_map=label_map,
        visibility=(areas / alone).astype(np.float32),
        mask_bbox_ratio=(areas / box_areas).astype(np.float32),
        angles=view_angles(scene, present - 1),
    )


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of equal pixels within the rows of a map (H, W): flat start (R,), length (R,) and value (R,).

    A map of objects has a hundred times fewer runs than pixels.
    """
    flat, begins = values.reshape(-1), np.ones(values.shape, dtype=bool)
    np.not_equal(values[:, 1:], values[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)
    return starts, np.diff(starts, append=flat.size), flat[starts]


def order_of_appearance(ids: np.ndarray) -> np.ndarray:
    """The ids other than 0 of a map (H, W), sorted by their first pixel in row-major order, int64."""
    values, first = np.unique(_runs(ids)[2], return_index=True)
    values = values[np.argsort(first)].astype(np.int64)
    return values[values != 0]


def boxes_and_areas(label_map: np.ndarray, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Tight half-open boxes (n, 4) int64 and pixel counts (n,) int64 of the labels 1..n, each with at least a
    pixel.
    """
    height, width = label_map.shape
    starts, lengths, labels = _runs(label_map)
    shown = labels > 0
    starts, lengths, index = starts[shown], lengths[shown], labels[shown].astype(np.int64) - 1
    rows, columns = np.divmod(starts, width)
    boxes, areas = np.empty((num_labels, 4), dtype=np.int64), np.zeros(num_labels, dtype=np.int64)
    boxes[:, :2], boxes[:, 2:] = (width, height), 0
    for axis, low, high in ((0, columns, columns + lengths), (1, rows, rows + 1)):
        np.minimum.at(boxes[:, axis], index, low)
        np.maximum.at(boxes[:, axis + 2], index, high)
    np.add.at(areas, index, lengths)
    return boxes, areas


def view_angles(scene: Scene, objects: np.ndarray) -> np.ndarray:
    """XYZ Euler angles (n, 3) float32 of inverse(camera pose) x object-to-world, for the objects of these
    numbers.
    """
    if not len(objects):
        return np.zeros((0, 3), dtype=np.float32)
    camera = np.array(scene.camera.rotation)
    rotations = np.stack([camera.T @ euler_matrix(np.array(scene.objects[i].euler)) for i in objects])
    return matrix_euler(rotations).astype(np.float32)


def matrix_euler(rotations: np.ndarray) -> np.ndarray:
    """XYZ Euler angles (n, 3) of rotations (n, 3, 3): first about x, then y, then z, all of them fixed axes.

    Of the two triples that describe a rotation the one with the smaller sum of magnitudes, as Blender returns
    it. Where y is a right angle x and z turn about the same axis: z is then 0.
    """
    r = np.asarray(rotations, dtype=np.float64)
    cos_y = np.hypot(r[:, 0, 0], r[:, 1, 0])
    one = np.stack([np.arctan2(r[:, 2, 1], r[:, 2, 2]), np.arctan2(-r[:, 2, 0], cos_y),
                    np.arctan2(r[:, 1, 0], r[:, 0, 0])], axis=1)  # fmt: skip
    two = np.stack([np.arctan2(-r[:, 2, 1], -r[:, 2, 2]), np.arctan2(-r[:, 2, 0], -cos_y),
                    np.arctan2(-r[:, 1, 0], -r[:, 0, 0])], axis=1)  # fmt: skip
    smaller = np.abs(one).sum(axis=1) <= np.abs(two).sum(axis=1)
    angles = np.where(smaller[:, None], one, two)
    locked = cos_y < 1e-6
    turned = np.stack([np.arctan2(-r[:, 1, 2], r[:, 1, 1]), one[:, 1], np.zeros(len(r))], axis=1)
    angles[locked] = turned[locked]
    return angles


def crop_query(view: RenderedView) -> np.ndarray | None:
    """The view's picture cropped to the object, (h, w, 3) uint8, background kept; None if the object is not
    in it.
    """
    rows, columns = np.flatnonzero(view.mask.any(axis=1)), np.flatnonzero(view.mask.any(axis=0))
    if not len(rows):
        return None
    return np.ascontiguousarray(view.rgb[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
