"""Batch normalisation of the classifiers: TensorFlow's fused kernel, or the same formula elsewhere.

Momentum 0.9 and epsilon 1e-5 as published. The moving variance takes the unbiased batch variance, as
TensorFlow's fused layer does, which the published code ran.
"""

from __future__ import annotations

import keras
from keras import ops

from experiments.gafi.nn.backend import NAME, Tensor

if NAME == "tensorflow":
    import tensorflow as tf

MOMENTUM, EPSILON = 0.9, 1e-5


def normalize_batch(x: Tensor, scale: Tensor, offset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(normalised x, mean (C,), unbiased variance (C,)) by the batch's statistics; x (n,H,W,C)."""
    if NAME == "tensorflow":
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=EPSILON, is_training=True
        )
        return y, mean, variance
    full = ops.cast(x, "float32")
    mean, variance = ops.moments(full, axes=(0, 1, 2))
    y = (full - mean) * (ops.rsqrt(variance + EPSILON) * scale) + offset
    count = ops.size(x) // x.shape[-1]
    return ops.cast(y, x.dtype), mean, variance * (count / max(count - 1, 1))


class BatchNorm(keras.Layer):
    """Over the last axis of (n,H,W,C). Statistics and parameters are float32 whatever the input's type."""

    def __init__(self, *, name: str):
        super().__init__(name=name, dtype="float32", autocast=False)

    def build(self, input_shape: tuple) -> None:
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.moving_mean = self.add_weight(
            shape=shape, initializer="zeros", name="moving_mean", trainable=False
        )
        self.moving_variance = self.add_weight(
            shape=shape, initializer="ones", name="moving_variance", trainable=False
        )

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if training:
            y, mean, variance = normalize_batch(x, self.gamma.value, self.beta.value)
            self.moving_mean.assign(MOMENTUM * self.moving_mean.value + (1.0 - MOMENTUM) * mean)
            self.moving_variance.assign(MOMENTUM * self.moving_variance.value + (1.0 - MOMENTUM) * variance)
            return y
        scale = ops.rsqrt(self.moving_variance.value + EPSILON) * self.gamma.value
        offset = self.beta.value - self.moving_mean.value * scale
        return x * ops.cast(scale, x.dtype) + ops.cast(offset, x.dtype)
