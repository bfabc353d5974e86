"""Which anchor answers for which box: forced pairs, overlap of a half, an ignored band between.

Section "Detector" of the dissertation and published code. IoU is taken in pixels. First, as often as there
are boxes: the pair (box, free anchor) of the greatest IoU, if that is at least 0.3, is forced, and both
leave. Then an anchor whose best IoU is at least 0.5 is positive for that box; below 0.3 it is negative,
between it is ignored. Ties go to the box, then the anchor, of the lower index.

The published code takes one image at a time. Here a whole batch is one set of tensor operations for tf.data,
without host code. Only the pairs of at least 0.3 matter, a few in a thousand: they are listed once, and all
that follows works on the list.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

FORCED_IOU = 0.3  # least of a forced pair; below it an anchor is background
POSITIVE_IOU = 0.5
FORCED = 2.0  # stands for the IoU of a forced pair: above all others


class Matches(NamedTuple):
    """The K anchors of a batch that are not background, ordered by image, then by box."""

    image: tf.Tensor  # int32 (K,)
    anchor: tf.Tensor  # int32 (K,); (image, anchor) is unique
    box: tf.Tensor  # int32 (K,), row of the box it answers for
    positive: tf.Tensor  # bool (K,); the others are ignored


class Pairs(NamedTuple):
    """Pairs (box, anchor) of the images of a batch, ordered by image, box, anchor."""

    iou: tf.Tensor  # float32 (P,)
    image: tf.Tensor  # int32 (P,)
    box: tf.Tensor  # int32 (P,)
    anchor: tf.Tensor  # int32 (P,)


def match(anchors_xyxy: tf.Tensor, boxes: tf.Tensor, num_boxes: tf.Tensor) -> Matches:
    """Match padded boxes float32 (n, m, 4) of a batch to the anchors float32 (A, 4).

    num_boxes: int32 (n,), how many rows of each image count; any values may stand in the others.
    """
    num_images, num_anchors = tf.shape(boxes)[0], tf.shape(anchors_xyxy)[0]
    pairs = overlapping_pairs(anchors_xyxy, boxes, num_boxes)
    forced = force_pairs(pairs, num_images, tf.reduce_max(num_boxes))
    iou = tf.where(forced, FORCED, pairs.iou)
    # Of each anchor's pairs the best, and of equal ones that of the first box.
    cell, num_cells = pairs.image * num_anchors + pairs.anchor, num_images * num_anchors
    best = iou >= tf.gather(tf.math.unsorted_segment_max(iou, cell, num_cells), cell)
    box = tf.where(best, pairs.box, pairs.box.dtype.max)
    best &= box == tf.gather(tf.math.unsorted_segment_min(box, cell, num_cells), cell)
    kept = tf.where(best)[:, 0]
    image, anchor, box = (tf.gather(values, kept) for values in (pairs.image, pairs.anchor, pairs.box))
    return Matches(image, anchor, box, tf.gather(iou, kept) >= POSITIVE_IOU)


def overlapping_pairs(anchors_xyxy: tf.Tensor, boxes: tf.Tensor, num_boxes: tf.Tensor) -> Pairs:
    """The pairs of at least FORCED_IOU; arguments as of `match`."""
    exists = tf.range(tf.shape(boxes)[1])[None, :] < num_boxes[:, None]
    iou = pairwise_iou(tf.where(exists[..., None], boxes, 0.0), anchors_xyxy)
    places = tf.where(iou >= FORCED_IOU)
    return Pairs(tf.gather_nd(iou, places), *tf.unstack(tf.cast(places, tf.int32), num=3, axis=1))


def force_pairs(pairs: Pairs, num_images: tf.Tensor, num_turns: tf.Tensor) -> tf.Tensor:
    """Which pairs are forced, bool (P,): greedily the best of each image, without its box and its anchor.

    num_turns: int32 (), pairs to take at most; the greatest number of boxes in an image is enough.
    """
    order = tf.range(tf.shape(pairs.iou)[0])

    def turns_left(turn: tf.Tensor, iou: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return (turn < num_turns) & tf.reduce_any(iou > 0.0)

    def take_one(turn: tf.Tensor, iou: tf.Tensor, forced: tf.Tensor) -> tuple[tf.Tensor, ...]:
        best = tf.gather(tf.math.unsorted_segment_max(iou, pairs.image, num_images), pairs.image)
        place = tf.where((iou >= best) & (iou > 0.0), order, order.dtype.max)
        # Of equal ones the first; in an image with no pair left it is beyond all places.
        chosen = tf.gather(tf.math.unsorted_segment_min(place, pairs.image, num_images), pairs.image)
        taken = tf.minimum(chosen, tf.size(order) - 1)
        same_box = pairs.box == tf.gather(pairs.box, taken)
        same_anchor = pairs.anchor == tf.gather(pairs.anchor, taken)
        return turn + 1, tf.where(same_box | same_anchor, -1.0, iou), forced | (order == chosen)

    start = (tf.constant(0), pairs.iou, tf.zeros_like(pairs.iou, dtype=tf.bool))
    return tf.while_loop(turns_left, take_one, start)[2]


def pairwise_iou(boxes: tf.Tensor, anchors_xyxy: tf.Tensor) -> tf.Tensor:
    """IoU float32 (n, m, A) of boxes (n, m, 4) with the anchors (A, 4); 0 where a box has no area."""
    x1, y1, x2, y2 = tf.unstack(boxes[:, :, None, :], axis=-1)
    u1, v1, u2, v2 = tf.unstack(anchors_xyxy[None, None, :, :], axis=-1)
    width = tf.maximum(tf.minimum(x2, u2) - tf.maximum(x1, u1), 0.0)
    height = tf.maximum(tf.minimum(y2, v2) - tf.maximum(y1, v1), 0.0)
    common = width * height
    return common / ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common)
