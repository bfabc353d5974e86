"""Which anchor answers for which box: forced pairs, overlap of a half, an ignored band between.

Section "Detector" of the dissertation and published code. IoU is taken in pixels. First, as often as there
are boxes: the pair (box, free anchor) of the greatest IoU, if that is at least 0.3, is forced, and both leave.
Then an anchor whose best IoU is at least 0.5 is positive for that box; below 0.3 it is negative, between it is
ignored. Ties go to the box, then the anchor, of the lower index.

The published code walks through boxes and anchors in Python. Here a whole batch is one set of tensor
operations for tf.data, without host code: of each box only its m best anchors can be forced (the m - 1 other
boxes take at most m - 1 of them away), so the greedy loop runs over (m, m) candidates, all images at once.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

FORCED_IOU = 0.3  # least of a forced pair; below it an anchor is background
POSITIVE_IOU = 0.5


class Matches(NamedTuple):
    """For each anchor of each image; int32 and bool (n, A)."""

    box: tf.Tensor  # index of the box it answers for; without meaning where not positive
    positive: tf.Tensor
    ignored: tf.Tensor  # neither positive nor background


def match(anchors_xyxy: tf.Tensor, boxes: tf.Tensor, num_boxes: tf.Tensor) -> Matches:
    """Match padded boxes float32 (n, m, 4) of a batch, m >= 1, to the anchors float32 (A, 4).

    num_boxes: int32 (n,), how many rows of each image count; any values may stand in the others.
    """
    num_rows = tf.shape(boxes)[1]
    exists = tf.range(num_rows)[None, :] < num_boxes[:, None]
    iou = tf.where(exists[:, :, None], pairwise_iou(boxes, anchors_xyxy), -1.0)
    best_iou, best_box = tf.reduce_max(iou, axis=1), tf.argmax(iou, axis=1, output_type=tf.int32)
    forced_anchor = force_pairs(iou, tf.reduce_max(num_boxes))
    image, row = _grid(forced_anchor)
    pairs = tf.stack([image, forced_anchor], axis=-1)
    chosen = forced_anchor >= 0
    pairs = tf.boolean_mask(pairs, chosen)
    box = tf.tensor_scatter_nd_update(best_box, pairs, tf.boolean_mask(row, chosen))
    is_forced = tf.scatter_nd(pairs, tf.ones_like(pairs[:, 0]), tf.shape(best_box)) > 0
    positive = is_forced | (best_iou >= POSITIVE_IOU)
    return Matches(box, positive, ~positive & (best_iou >= FORCED_IOU))


def force_pairs(iou: tf.Tensor, num_turns: tf.Tensor) -> tf.Tensor:
    """The forced anchor of each box, int32 (n, m), -1 where it gets none; iou float32 (n, m, A).

    num_turns: int32 (), pairs to take at most; the greatest number of boxes in an image is enough.
    """
    num_boxes = tf.shape(iou)[1]
    num_candidates = tf.minimum(num_boxes, tf.shape(iou)[2])
    # Of equal values top_k puts the lower index first, which keeps the rule for ties.
    values, indices = tf.math.top_k(iou, k=num_candidates)
    every_box = tf.range(num_boxes)[None, :]

    def turns_left(turn: tf.Tensor, values: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return (turn < num_turns) & tf.reduce_any(values >= FORCED_IOU)

    def take_one(turn: tf.Tensor, values: tf.Tensor, forced: tf.Tensor) -> tuple[tf.Tensor, ...]:
        flat = tf.reshape(values, [-1, num_boxes * num_candidates])
        place = tf.argmax(flat, axis=1, output_type=tf.int32)[:, None]
        anchor = tf.gather(tf.reshape(indices, tf.shape(flat)), place, batch_dims=1)
        enough = tf.gather(flat, place, batch_dims=1) >= FORCED_IOU
        this_box = (every_box == place // num_candidates) & enough
        gone = this_box[:, :, None] | (indices == anchor[:, :, None])
        return turn + 1, tf.where(gone, -1.0, values), tf.where(this_box, anchor, forced)

    start = (tf.constant(0), values, tf.fill(tf.shape(iou)[:2], -1))
    return tf.while_loop(turns_left, take_one, start)[2]


def pairwise_iou(boxes: tf.Tensor, anchors_xyxy: tf.Tensor) -> tf.Tensor:
    """IoU float32 (n, m, A) of boxes (n, m, 4) with the anchors (A, 4); 0 where a box has no area."""
    x1, y1, x2, y2 = tf.unstack(boxes[:, :, None, :], axis=-1)
    u1, v1, u2, v2 = tf.unstack(anchors_xyxy[None, None, :, :], axis=-1)
    width = tf.maximum(tf.minimum(x2, u2) - tf.maximum(x1, u1), 0.0)
    height = tf.maximum(tf.minimum(y2, v2) - tf.maximum(y1, v1), 0.0)
    common = width * height
    return common / ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common)


def _grid(like: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Row and column number int32 of each element of a matrix."""
    shape = tf.shape(like)
    row, column = tf.meshgrid(tf.range(shape[0]), tf.range(shape[1]), indexing="ij")
    return row, column
