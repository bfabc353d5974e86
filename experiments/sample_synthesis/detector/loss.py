"""The detection loss: softmax focal loss for the classes, smooth L1 for the offsets.

Section "Detector" of the dissertation and published code. N = max(1, positives in the whole batch). The class
term is -sum_c y_c (1 - p_c)^2 ln(p_c + 1e-8) over the anchors that are not ignored, over N; the box term is
smooth L1 with its knee at 1 over the positives' four offsets, over N. No class is weighted, and no negatives
are mined. The total adds `l2_loss(model)`.

`ohem` is ours, after SSD: plain cross-entropy of the positives and, per image, of the three negatives per
positive that are wrong most; an image without positives then has no class term.
"""

from __future__ import annotations

from typing import Literal

import keras
import tensorflow as tf

LOG_FLOOR = 1e-8  # inside the logarithm, published code
NEGATIVES_PER_POSITIVE = 3


def detection_loss(
    outputs: tf.Tensor, targets: tf.Tensor, weight: tf.Tensor, *, kind: Literal["focal", "ohem"] = "focal"
) -> tuple[tf.Tensor, tf.Tensor]:
    """(class term, box term), float32 scalars.

    Args:
        outputs: float32 (n, A, C + 4), logits (background first) and offsets.
        targets: float32 (n, A, C + 4) and weight float32 (n, A), as `encode.encode_batch_tf` gives them.
        kind: of the class term, see above.
    """
    outputs = tf.cast(outputs, tf.float32)
    logits, offsets = outputs[..., :-4], outputs[..., -4:]
    classes, wanted = targets[..., :-4], targets[..., -4:]
    positive = tf.reduce_sum(classes[..., 1:], axis=-1)
    num_positives = tf.maximum(tf.reduce_sum(positive), 1.0)
    if kind == "focal":
        class_loss = tf.reduce_sum(focal(logits, classes) * weight)
    else:
        entropy = tf.nn.softmax_cross_entropy_with_logits(labels=classes, logits=logits) * weight
        class_loss = tf.reduce_sum(entropy * hard_examples(entropy, positive, weight))
    box_loss = tf.reduce_sum(smooth_l1(offsets - wanted) * positive[..., None])
    return class_loss / num_positives, box_loss / num_positives


def focal(logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Focal loss float32 (...,) of logits (..., C) against one-hot or all-zero classes (..., C)."""
    probability = tf.nn.softmax(logits)
    surprise = tf.math.log(probability + LOG_FLOOR)
    return -tf.reduce_sum(classes * tf.square(1.0 - probability) * surprise, axis=-1)


def smooth_l1(difference: tf.Tensor) -> tf.Tensor:
    """d^2 / 2 where |d| < 1, else |d| - 1/2, elementwise."""
    size = tf.abs(difference)
    return tf.where(size < 1.0, 0.5 * tf.square(difference), size - 0.5)


def hard_examples(entropy: tf.Tensor, positive: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Mask float32 (n, A) of the positives and of each image's hardest negatives; no gradient.

    entropy: float32 (n, A); positive and weight: 0 or 1, float32 (n, A). Ties go to the lower index.
    """
    negative = (1.0 - positive) * weight
    hardness = tf.where(negative > 0, tf.stop_gradient(entropy), -1.0)
    order = tf.argsort(hardness, axis=-1, direction="DESCENDING", stable=True)
    rank = tf.argsort(order, axis=-1, stable=True)
    allowed = NEGATIVES_PER_POSITIVE * tf.cast(tf.reduce_sum(positive, axis=-1, keepdims=True), tf.int32)
    return positive + negative * tf.cast(rank < allowed, tf.float32)


def l2_loss(model: keras.Model) -> tf.Tensor:
    """lambda * sum(w^2) over the kernels of the heads, float32 scalar; lambda is `l2` of `build_detector`."""
    return tf.add_n(model.losses) if model.losses else tf.constant(0.0)
