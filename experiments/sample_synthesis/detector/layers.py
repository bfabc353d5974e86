"""The few layers that all detectors are made of, every one named, with first values that depend on the name.

A weight's first value is a function of (seed, layer name) alone: adding or reordering layers does not change
the others, and two processes that build the same network get the same bits.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from suite.seeds import item_rng, stream_id

Tensor = Any  # keras.KerasTensor or tf.Tensor


class BatchNorm(keras.layers.Layer):
    """Batch normalisation over the last axis of (n, H, W, C) by TensorFlow's fused kernel.

    Keras 2, which the published code ran, used this kernel, whose moving variance takes the unbiased batch
    variance; Keras 3 computes the same formula in separate operations and takes the biased one.
    Variables as in keras.layers.BatchNormalization: gamma, beta, moving_mean, moving_variance.
    """

    def __init__(self, *, momentum: float, epsilon: float, name: str):
        super().__init__(name=name, dtype="float32")
        self.momentum, self.epsilon = momentum, epsilon

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

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        statistics = ([], []) if training else (self.moving_mean.value, self.moving_variance.value)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=self.gamma.value, offset=self.beta.value, mean=statistics[0], variance=statistics[1],
            epsilon=self.epsilon, is_training=bool(training),
        )  # fmt: skip
        if training:
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(self.momentum * moving.value + (1.0 - self.momentum) * batch)
        return y

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


class Normalize(keras.layers.Layer):
    """(x - mean) / std per channel of (n, H, W, 3), pixels 0..255; `bgr` turns RGB around first."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, bgr: bool = False):
        super().__init__(name="normalize")
        self.mean, self.std, self.bgr = tuple(mean), tuple(std), bgr

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return ((x[..., ::-1] if self.bgr else x) - self.mean) / self.std

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


@dataclass(frozen=True)
class Layers:
    """Makes the layers of one network.

    Attributes:
        seed: of the first weights.
        momentum, epsilon: of batch normalisation.
        relu_max: where the activations are cut; None: nowhere.
    """

    seed: int
    momentum: float
    epsilon: float
    relu_max: float | None = None

    def conv(self, x: Tensor, filters: int, side: int, *, name: str, **options: Any) -> Tensor:
        """As `conv` of this module."""
        return conv(x, filters, side, seed=self.seed, name=name, **options)

    def depthwise(self, x: Tensor, *, name: str, **options: Any) -> Tensor:
        """A 3x3 convolution of each channel by itself, without bias; options of DepthwiseConv2D."""
        kernel = glorot(self.seed, name)
        return keras.layers.DepthwiseConv2D(
            3, depthwise_initializer=kernel, use_bias=False, name=name, **options
        )(x)

    def norm(self, x: Tensor, *, name: str) -> Tensor:
        """Batch normalisation."""
        return BatchNorm(momentum=self.momentum, epsilon=self.epsilon, name=name)(x)

    def norm_relu(self, x: Tensor, *, norm: str, relu: str) -> Tensor:
        """Batch normalisation, then the network's activation; `norm` and `relu` are their names."""
        return keras.layers.ReLU(self.relu_max, name=relu)(self.norm(x, name=norm))


def glorot(seed: int, name: str) -> keras.initializers.Initializer:
    """Glorot-uniform, Keras's default, drawn from (seed, name)."""
    rng = item_rng(seed, "detector.weights", stream_id(name))
    return keras.initializers.GlorotUniform(seed=int(rng.integers(2**31)))


def conv(x: Tensor, filters: int, side: int, *, seed: int, name: str, **options: Any) -> Tensor:
    """A square convolution with first weights by `glorot`; options of keras.layers.Conv2D."""
    kernel = glorot(seed, name)
    return keras.layers.Conv2D(filters, side, kernel_initializer=kernel, name=name, **options)(x)


def pad(x: Tensor, before: int, after: int, *, name: str) -> Tensor:
    """Zeros above and left (`before` rows and columns), below and right (`after`)."""
    return keras.layers.ZeroPadding2D(((before, after), (before, after)), name=name)(x)
