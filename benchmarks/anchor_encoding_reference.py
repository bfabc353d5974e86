"""Matching and encoding of one image at a time, for benchmarks/anchor_encoding.py and the tests.

Written anew from the description of the procedure. `encode_reference` is the plain loop: IoU of one box after
the other with all anchors, the forced pairs one by one, then anchor by anchor its class and offsets, numpy in
float32. `encode_eager` is the published manner: the steps by eager TensorFlow operations on whole arrays,
image by image.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

FORCED_IOU, POSITIVE_IOU = np.float32(0.3), np.float32(0.5)
VARIANCES = (0.1, 0.1, 0.2, 0.2)


def encode_reference(
    anchors_xyxy: np.ndarray, centers: np.ndarray, sizes: np.ndarray, boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Targets float32 (A, 6) and weight float32 (A,) of one image.

    anchors_xyxy: float32 (A, 4); centers, sizes: float32 (A, 2); boxes: float32 (m, 4), x1, y1, x2, y2, all
    in pixels. Two classes: background, object.
    """
    num_anchors = len(anchors_xyxy)
    targets, weight = np.zeros((num_anchors, 6), np.float32), np.ones(num_anchors, np.float32)
    iou = np.zeros((len(boxes), num_anchors), np.float32)
    for row, box in enumerate(boxes):
        iou[row] = iou_with_anchors(box, anchors_xyxy)
    forced = forced_pairs(iou)
    for anchor in range(num_anchors):
        best = int(iou[:, anchor].argmax()) if len(boxes) else -1
        value = iou[best, anchor] if len(boxes) else np.float32(0)
        if anchor in forced:
            best = forced[anchor]
        elif value < FORCED_IOU:
            targets[anchor, 0] = 1
            continue
        elif value < POSITIVE_IOU:
            weight[anchor] = 0
            continue
        targets[anchor, 1] = 1
        targets[anchor, 2:] = offsets(boxes[best], centers[anchor], sizes[anchor])
    return targets, weight


def iou_with_anchors(box: np.ndarray, anchors_xyxy: np.ndarray) -> np.ndarray:
    """IoU float32 (A,) of one box float32 (4,) with all anchors."""
    width = np.maximum(np.minimum(box[2], anchors_xyxy[:, 2]) - np.maximum(box[0], anchors_xyxy[:, 0]), 0)
    height = np.maximum(np.minimum(box[3], anchors_xyxy[:, 3]) - np.maximum(box[1], anchors_xyxy[:, 1]), 0)
    common = width * height
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (anchors_xyxy[:, 2] - anchors_xyxy[:, 0]) * (anchors_xyxy[:, 3] - anchors_xyxy[:, 1])
    return common / (area + areas - common)


def forced_pairs(iou: np.ndarray) -> dict[int, int]:
    """anchor -> box of the pairs that are positive whatever their IoU beyond 0.3; iou float32 (m, A)."""
    left, forced = iou.copy(), {}
    for _ in range(len(iou)):
        box, anchor = np.unravel_index(left.argmax(), left.shape)
        if left[box, anchor] < FORCED_IOU:
            break
        forced[int(anchor)] = int(box)
        left[box, :] = -1
        left[:, anchor] = -1
    return forced


def offsets(box: np.ndarray, center: np.ndarray, size: np.ndarray) -> list[float]:
    """The four encoded offsets of a box from an anchor."""
    (x1, y1, x2, y2), (anchor_x, anchor_y), (anchor_w, anchor_h) = (
        box.tolist(),
        center.tolist(),
        size.tolist(),
    )
    return [
        ((x1 + x2) / 2 - anchor_x) / anchor_w / VARIANCES[0],
        ((y1 + y2) / 2 - anchor_y) / anchor_h / VARIANCES[1],
        math.log((x2 - x1) / anchor_w) / VARIANCES[2],
        math.log((y2 - y1) / anchor_h) / VARIANCES[3],
    ]


def encode_eager(
    anchors_xyxy: tf.Tensor, centers: tf.Tensor, sizes: tf.Tensor, boxes: tf.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """As `encode_reference`, with tensors and at least one box."""
    top_left = tf.maximum(boxes[:, None, :2], anchors_xyxy[None, :, :2])
    bottom_right = tf.minimum(boxes[:, None, 2:], anchors_xyxy[None, :, 2:])
    common = tf.reduce_prod(tf.maximum(bottom_right - top_left, 0.0), axis=-1)
    area = tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    areas = tf.reduce_prod(anchors_xyxy[:, 2:] - anchors_xyxy[:, :2], axis=-1)
    iou = (common / (area[:, None] + areas[None, :] - common)).numpy()
    left = iou.copy()
    for _ in range(len(left)):
        box = int(tf.argmax(tf.reduce_max(left, axis=1)))
        anchor = int(tf.argmax(left[box]))
        if left[box, anchor] < FORCED_IOU:
            break
        iou[box, anchor] = 2.0
        left[box, :], left[:, anchor] = -1.0, -1.0
    best, box = tf.reduce_max(iou, axis=0), tf.argmax(iou, axis=0)
    positive = (best >= POSITIVE_IOU).numpy()
    negative = (best < FORCED_IOU).numpy()
    matched = tf.gather(boxes, tf.boolean_mask(box, positive))
    center, size = tf.boolean_mask(centers, positive), tf.boolean_mask(sizes, positive)
    move = ((matched[:, :2] + matched[:, 2:]) / 2 - center) / size / VARIANCES[:2]
    grow = tf.math.log((matched[:, 2:] - matched[:, :2]) / size) / VARIANCES[2:]
    targets = np.zeros((len(positive), 6), np.float32)
    targets[negative, 0], targets[positive, 1] = 1, 1
    targets[positive, 2:] = tf.concat([move, grow], axis=1).numpy()
    return targets, (positive | negative).astype(np.float32)
