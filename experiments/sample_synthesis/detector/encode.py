"""Training targets: class and offsets of each anchor, made inside tf.data for whole batches.

Section "Detector" of the dissertation and published code: for a positive anchor (acx, acy, aw, ah) of a box
(cx, cy, w, h) the offsets are ((cx - acx) / aw / 0.1, (cy - acy) / ah / 0.1, ln(w / aw) / 0.2,
ln(h / ah) / 0.2); all targets of an ignored anchor are zero.

    dataset.batch(16).map(lambda images, boxes, num: (images, *encode_batch_tf(anchors, boxes, num)))
"""

from __future__ import annotations

import tensorflow as tf

from experiments.sample_synthesis.detector.anchors import Anchors
from experiments.sample_synthesis.detector.archs import NUM_CLASSES, VARIANCES
from experiments.sample_synthesis.detector.match import match


def encode_tf(
    anchors: Anchors,
    boxes: tf.Tensor,
    num_boxes: tf.Tensor,
    *,
    labels: tf.Tensor | None = None,
    num_classes: int = NUM_CLASSES,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One image: boxes (m, 4), num_boxes () -> targets (A, C + 4), weight (A,); else as `encode_batch_tf`."""
    targets, weight = encode_batch_tf(
        anchors,
        tf.convert_to_tensor(boxes)[None],
        tf.convert_to_tensor(num_boxes)[None],
        labels=None if labels is None else tf.convert_to_tensor(labels)[None],
        num_classes=num_classes,
    )
    return targets[0], weight[0]


def encode_batch_tf(
    anchors: Anchors,
    boxes: tf.Tensor,
    num_boxes: tf.Tensor,
    *,
    labels: tf.Tensor | None = None,
    num_classes: int = NUM_CLASSES,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Targets and weight of a batch; tensor operations only, for `tf.data.Dataset.map`.

    Args:
        anchors: A anchors, of the detector and image size that the boxes are scaled to.
        boxes: float32 or integer (n, m, 4), x1, y1, x2, y2 in pixels, padded to m >= 0 rows with any values.
            A box without area matches nothing.
        num_boxes: int32 (n,), how many rows count.
        labels: int32 (n, m), 1..num_classes - 1; None: 1 for all.
        num_classes: C, background included.

    Returns:
        targets: float32 (n, A, C + 4), one-hot class (background first), then offsets.
        weight: float32 (n, A), 0 for the ignored anchors, else 1.
    """
    boxes = tf.cast(boxes, tf.float32)
    num_images, num_anchors = tf.shape(boxes)[0], len(anchors)
    found = match(tf.constant(anchors.boxes), boxes, tf.cast(num_boxes, tf.int32))
    rows = tf.stack([found.image, found.box], axis=1)
    label = tf.ones_like(found.box) if labels is None else tf.gather_nd(tf.cast(labels, tf.int32), rows)
    offsets = encode_offsets(
        tf.gather_nd(boxes, rows),
        tf.gather(tf.constant(anchors.centers), found.anchor),
        tf.gather(tf.constant(anchors.sizes), found.anchor),
    )
    encoded = tf.concat([tf.one_hot(label, num_classes), offsets], axis=-1)
    encoded = tf.where(found.positive[:, None], encoded, 0.0)
    background = tf.one_hot(0, num_classes + 4)
    targets = tf.tile(background[None], [num_images * num_anchors, 1])
    cell = (found.image * num_anchors + found.anchor)[:, None]
    targets = tf.tensor_scatter_nd_update(targets, cell, encoded)
    weight = tf.ones([num_images * num_anchors])
    weight = tf.tensor_scatter_nd_update(weight, cell, tf.where(found.positive, 1.0, 0.0))
    return (
        tf.reshape(targets, [num_images, num_anchors, num_classes + 4]),
        tf.reshape(weight, [num_images, num_anchors]),
    )


def encode_offsets(boxes: tf.Tensor, centers: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Offsets float32 (k, 4) of boxes (k, 4), x1, y1, x2, y2, from anchors' centers and sizes (k, 2)."""
    top_left, bottom_right = boxes[:, :2], boxes[:, 2:]
    move = ((top_left + bottom_right) / 2 - centers) / sizes / VARIANCES[:2]
    grow = tf.math.log((bottom_right - top_left) / sizes) / VARIANCES[2:]
    return tf.concat([move, grow], axis=-1)
