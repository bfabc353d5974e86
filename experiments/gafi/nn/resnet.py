"""The CIFAR-style ResNet family (resnet14 to resnet1202) with option-A shortcuts, as in the published code.

Three stages of basic blocks with w, 2w and 4w channels, strides 1, 2, 2; convolutions see one pixel of
zeros on every side, also at stride 2, where Keras' "same" would pad on two sides only. A shortcut that
changes shape takes every second pixel and pads channels with zeros. Output: logits; the softmax is part of
the loss and of the scores.
"""

from __future__ import annotations

import keras
from keras import ops

from experiments.gafi.nn.backend import Tensor
from experiments.gafi.nn.batch_norm import BatchNorm

BLOCKS_PER_STAGE = {
    "resnet14": 2,
    "resnet20": 3,
    "resnet32": 5,
    "resnet44": 7,
    "resnet56": 9,
    "resnet110": 18,
    "resnet1202": 200,
}


class Conv3x3(keras.Layer):
    """3x3 convolution without bias, one pixel of zeros around the input. Computes in its input's type."""

    def __init__(self, filters: int, *, stride: int = 1, name: str):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.filters, self.stride = filters, stride

    def build(self, input_shape: tuple) -> None:
        self.kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], self.filters), initializer="zeros", name="kernel"
        )

    def call(self, x: Tensor) -> Tensor:
        kernel = ops.cast(self.kernel.value, x.dtype)
        if self.stride == 1:
            return ops.conv(x, kernel, padding="same")  # equal to the explicit padding at stride 1
        x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return ops.conv(x, kernel, strides=self.stride, padding="valid")


class Block(keras.Layer):
    """conv-BN-ReLU-conv-BN, plus the shortcut, ReLU."""

    def __init__(self, filters: int, *, stride: int, name: str):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.filters, self.stride = filters, stride
        self.conv1 = Conv3x3(filters, stride=stride, name="conv1")
        self.bn1 = BatchNorm(name="bn1")
        self.conv2 = Conv3x3(filters, name="conv2")
        self.bn2 = BatchNorm(name="bn2")

    def build(self, input_shape: tuple) -> None:
        inner = (None, None, None, self.filters)
        self.conv1.build(input_shape)
        self.bn1.build(inner)
        self.conv2.build(inner)
        self.bn2.build(inner)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        y = ops.relu(self.bn1(self.conv1(x), training=training))
        y = self.bn2(self.conv2(y), training=training)
        return ops.relu(y + shortcut(x, self.filters, self.stride))


def shortcut(x: Tensor, filters: int, stride: int) -> Tensor:
    """Option A: every `stride`-th pixel, channels padded with zeros on both sides up to `filters`."""
    if stride != 1:
        x = x[:, ::stride, ::stride, :]
    missing = filters - x.shape[-1]
    if missing:
        x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (missing // 2, missing - missing // 2)))
    return x


class ResNet(keras.Model):
    """(n,H,W,C) float32 in [-1,1], H and W divisible by 4 -> logits (n,K) float32.

    precision: type of the convolutions and feature maps; weights, statistics, pooled features and logits are
    float32.
    """

    def __init__(
        self, *, blocks: int, width: int, num_classes: int, image_shape: tuple[int, int, int], name: str,
        precision: str = "float32",
    ):  # fmt: skip
        super().__init__(name=name, dtype="float32", autocast=False)
        self.maps_dtype = precision
        self.conv0 = Conv3x3(width, name="conv0")
        self.bn0 = BatchNorm(name="bn0")
        self.blocks = [
            Block(
                width * 2**stage,
                stride=2 if stage and not block else 1,
                name=f"stage{stage + 1}_block{block + 1}",
            )
            for stage in range(3)
            for block in range(blocks)
        ]
        self.dense = keras.layers.Dense(num_classes, name="dense", dtype="float32")
        self.build((None, *image_shape))

    def build(self, input_shape: tuple) -> None:
        self.conv0.build(input_shape)
        channels = self.conv0.filters
        self.bn0.build((None, None, None, channels))
        for block in self.blocks:
            block.build((None, None, None, channels))
            channels = block.filters
        self.dense.build((None, channels))
        self.built = True

    def features(self, x: Tensor, training: bool = False) -> Tensor:
        """(n,4w) float32: the last feature map averaged over its pixels, what the last layer sees."""
        x = ops.cast(x, self.maps_dtype)
        x = ops.relu(self.bn0(self.conv0(x), training=training))
        for block in self.blocks:
            x = block(x, training=training)
        return ops.mean(ops.cast(x, "float32"), axis=(1, 2))

    def call(self, x: Tensor, training: bool = False, return_features: bool = False) -> Tensor:
        features = self.features(x, training=training)
        return features if return_features else self.dense(features)
