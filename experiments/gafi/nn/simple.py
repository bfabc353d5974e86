"""GaFi's small classifier `simple`: two 2x2 convolutions with pooling and one hidden layer."""

from __future__ import annotations

import keras
from keras import ops

from experiments.gafi.nn.backend import Tensor, uniform


class Dropout(keras.Layer):
    """Zeroes a share of its input in training. Its key is a variable, so a resumed run draws the same."""

    def __init__(self, rate: float, *, name: str):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.rate = rate

    def build(self, input_shape: tuple) -> None:
        self.key = self.add_weight(
            shape=(2,), initializer="zeros", dtype="int32", trainable=False, name="dropout_key"
        )

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if not training:
            return x
        key = self.key.value
        keep = uniform(key, ops.shape(x)) >= self.rate
        self.key.assign(key + ops.convert_to_tensor([0, 1], "int32"))
        return ops.where(keep, x / (1.0 - self.rate), ops.zeros_like(x))


class Conv2x2(keras.Layer):
    """2x2 convolution, "same", with bias and ReLU, then 2x2 max pooling."""

    def __init__(self, filters: int, *, name: str):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.filters = filters

    def build(self, input_shape: tuple) -> None:
        shape = (2, 2, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, x: Tensor) -> Tensor:
        y = ops.conv(x, ops.cast(self.kernel.value, x.dtype), padding="same")
        y = ops.relu(y + ops.cast(self.bias.value, x.dtype))
        return ops.max_pool(y, 2, 2)  # strides are given: without them Keras 3.15 fails on JAX


class SimpleNet(keras.Model):
    """(n,H,W,C) float32 in [-1,1], H and W divisible by 4 -> logits (n,K) float32; features (n,256)."""

    def __init__(
        self, *, num_classes: int, image_shape: tuple[int, int, int], name: str = "simple",
        precision: str = "float32",
    ):  # fmt: skip
        super().__init__(name=name, dtype="float32", autocast=False)
        self.maps_dtype = precision
        self.conv1 = Conv2x2(256, name="conv1")
        self.drop1 = Dropout(0.3, name="drop1")
        self.conv2 = Conv2x2(128, name="conv2")
        self.drop2 = Dropout(0.3, name="drop2")
        self.hidden = keras.layers.Dense(256, activation="relu", name="hidden", dtype="float32")
        self.drop3 = Dropout(0.3, name="drop3")
        self.dense = keras.layers.Dense(num_classes, name="dense", dtype="float32")
        self.build((None, *image_shape))

    def build(self, input_shape: tuple) -> None:
        _, height, width, _ = input_shape
        self.conv1.build(input_shape)
        self.conv2.build((None, None, None, self.conv1.filters))
        self.hidden.build((None, (height // 4) * (width // 4) * self.conv2.filters))
        self.dense.build((None, self.hidden.units))
        for drop in (self.drop1, self.drop2, self.drop3):
            drop.build((None,))
        self.built = True

    def features(self, x: Tensor, training: bool = False) -> Tensor:
        """(n,256) float32: the hidden layer, after its dropout in training."""
        x = self.drop1(self.conv1(ops.cast(x, self.maps_dtype)), training=training)
        x = self.drop2(self.conv2(x), training=training)
        x = ops.cast(ops.reshape(x, (-1, x.shape[1] * x.shape[2] * x.shape[3])), "float32")
        return self.drop3(self.hidden(x), training=training)

    def call(self, x: Tensor, training: bool = False, return_features: bool = False) -> Tensor:
        features = self.features(x, training=training)
        return features if return_features else self.dense(features)
