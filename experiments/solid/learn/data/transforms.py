"""Resizing and flipping by detectron2's own transforms, with the random choices made by the caller.

Source of the choices: SOLID code, pre-training loader (ResizeShortestEdge with a choice of lengths, flip with
probability 1/2, nothing else). Masks are label maps here, resized to the nearest pixel, where the published
loader turns every mask into polygons and shifts them by half a pixel on the way.
"""

from __future__ import annotations

import numpy as np

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.data.transforms import ResizeShortestEdge, ResizeTransform
from fvcore.transforms.transform import HFlipTransform, TransformList


def resized_shape(height: int, width: int, short_edge: int, max_edge: int) -> tuple[int, int]:
    """(height, width) with the given short edge, or smaller so that the long edge is at most `max_edge`."""
    new = ResizeShortestEdge.get_output_shape(height, width, short_edge, max_edge)
    return max(1, new[0]), max(1, new[1])  # a very long and thin query would lose its short side


def resize_and_flip(height: int, width: int, short_edge: int, max_edge: int, flip: bool) -> TransformList:
    """Transform of a picture of this size: bilinear for pictures, nearest for label maps, exact for boxes."""
    new = resized_shape(height, width, short_edge, max_edge)
    steps = [ResizeTransform(height, width, *new)]
    return TransformList([*steps, HFlipTransform(new[1])] if flip else steps)


def to_bgr(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) RGB -> (3, H, W) BGR, contiguous: what detectron2's models take."""
    return np.ascontiguousarray(rgb[:, :, ::-1].transpose(2, 0, 1))


def resize_query(rgb: np.ndarray, size: int) -> np.ndarray:
    """(h, w, 3) uint8 -> BGR (3, h', w') uint8 with the long side `size`; small crops are enlarged too."""
    height, width = rgb.shape[:2]
    return to_bgr(ResizeTransform(height, width, *resized_shape(height, width, size, size)).apply_image(rgb))


def label_boxes(label_map: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Tight half-open boxes (n, 4) float32 of labels 1..n of an (H, W) map; (0, 0, 0, 0) for an absent label.

    `near`: (n, 4) boxes x1, y1, x2, y2 around which each label is looked for, 2 pixels beyond on each side.
    The whole map is not searched once per label: at 20 objects that would cost more than decoding it.
    """
    boxes = np.zeros((len(near), 4), np.float32)
    low = np.maximum(np.floor(near[:, :2]).astype(int) - 2, 0)
    high = np.ceil(near[:, 2:]).astype(int) + 2
    for k, ((x0, y0), (x1, y1)) in enumerate(zip(low, high, strict=True)):
        inside = label_map[y0:y1, x0:x1] == k + 1
        x, y = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
        if len(x):
            boxes[k] = x0 + x[0], y0 + y[0], x0 + x[-1] + 1, y0 + y[-1] + 1
    return boxes


def transform_target(
    rgb: np.ndarray, label_map: np.ndarray, boxes: np.ndarray, transform: TransformList
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One picture through a transform: BGR (3, H', W'), label map (H', W'), boxes (n, 4) of its labels.

    `boxes`: (n, 4) in the stored picture; they only say where to look, the result is recomputed from the map.
    """
    new_map = np.array(transform.apply_segmentation(label_map), order="C")  # Pillow's are read-only
    near = transform.apply_box(boxes.astype(np.float64))
    return to_bgr(transform.apply_image(rgb)), new_map, label_boxes(new_map, near)
