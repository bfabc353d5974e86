"""Layers of BigGAN-deep: spectrally normalised conv, dense and embedding; batch norm; self-attention (GaFi, section 4).

A network asks `SpectralNorm` once per call for all its normalised kernels and hands them to its layers' `forward`:
kernels of one shape go through the power iteration together, as one batched product. A generator has some eighty
kernels of ten shapes, so the compiled step is a fraction of the size it would have with an iteration per layer.

Kernels, `u`, statistics and norms are float32 whatever the precision; only the layers' products are lower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from experiments.gafi.nn.backend import Tensor
from suite.seeds import item_rng

NORM_EPSILON = 1e-12  # added to the length of a vector in the power iteration (published code)
BATCH_NORM_MOMENTUM, BATCH_NORM_EPSILON = 0.9, 1e-5
Weights = dict[str, Tensor]  # path of a layer -> its normalised kernel


@dataclass(frozen=True)
class Init:
    """First values of variables, drawn on the host so that both backends start equal.

    sharing: `own` draws each variable from the seed and its path; `upstream` from the seed and its shape alone, which
    is what the published code's one initialiser object per layer class did (all kernels of one shape start equal).
    """

    seed: int
    sharing: str = "own"

    def orthogonal(self, path: str, *, rows: int) -> Callable:
        """Initialiser: orthonormal columns, or rows where there are fewer, of the kernel flattened to (rows, -1)."""

        def values(shape: Sequence[int], dtype: str | None = None) -> Tensor:
            columns = int(np.prod(shape)) // rows
            draw = self._rng(path).standard_normal((max(rows, columns), min(rows, columns)))
            q, r = np.linalg.qr(draw)
            q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the draw uniform over orthogonal matrices
            return ops.convert_to_tensor((q if rows >= columns else q.T).reshape(shape), dtype or "float32")

        return values

    def uniform(self, path: str, limit: float) -> Callable:
        """Initialiser: uniform in [-limit, limit)."""

        def values(shape: Sequence[int], dtype: str | None = None) -> Tensor:
            return ops.convert_to_tensor(self._rng(path).uniform(-limit, limit, shape), dtype or "float32")

        return values

    def _rng(self, path: str) -> np.random.Generator:
        return item_rng(self.seed, f"init/{path}" if self.sharing == "own" else "init", 0)


class SpectralLayer(keras.Layer):
    """A kernel with its vector `u` for spectral normalisation, and perhaps a bias.

    matrix: (rows, outputs) of the kernel as a matrix; u is (1, outputs), Glorot-uniform, never normalised at the start.
    """

    def __init__(self, *, name: str, shape: tuple[int, ...], init: Init, bias: bool, dtype: str):
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.shape, self.init, self.with_bias = shape, init, bias
        self.matrix = (int(np.prod(shape[:-1])), shape[-1])

    def build(self) -> None:
        outputs = self.matrix[1]
        self.kernel = self.add_weight(
            shape=self.shape, initializer=self._kernel_init(), name="kernel", dtype="float32"
        )
        if self.with_bias:
            self.bias = self.add_weight(
                shape=(outputs,), initializer="zeros", name="bias", dtype="float32"
            )
        self.u = self.add_weight(
            shape=(1, outputs),
            initializer=self.init.uniform(f"{self.path}/u", float(np.sqrt(6.0 / (1 + outputs)))),
            name="u",
            dtype="float32",
            trainable=False,
        )

    def _kernel_init(self) -> Callable:
        return self.init.orthogonal(f"{self.path}/kernel", rows=self.matrix[0])

    def as_matrix(self) -> Tensor:
        """The kernel as (rows, outputs)."""
        return ops.reshape(self.kernel.value, self.matrix)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        """A (rows, outputs) matrix in the kernel's own shape and the precision of the layer's products."""
        return ops.cast(ops.reshape(matrix, self.shape), self.compute_dtype)

    def add_bias(self, x: Tensor) -> Tensor:
        return ops.add(x, ops.cast(self.bias.value, self.compute_dtype)) if self.with_bias else x


class SNConv(SpectralLayer):
    """Convolution, stride 1, zero padding that keeps the size. forward: (n,h,w,in) -> (n,h,w,out)."""

    def __init__(self, *, name: str, size: int, inputs: int, outputs: int, init: Init, dtype: str, bias: bool = True):
        super().__init__(name=name, shape=(size, size, inputs, outputs), init=init, bias=bias, dtype=dtype)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        return self.add_bias(ops.conv(x, weights[self.path], padding="same"))


class SNDense(SpectralLayer):
    """forward: (n, in) -> (n, out)."""

    def __init__(self, *, name: str, inputs: int, outputs: int, init: Init, dtype: str, bias: bool = True):
        super().__init__(name=name, shape=(inputs, outputs), init=init, bias=bias, dtype=dtype)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        return self.add_bias(ops.matmul(x, weights[self.path]))


class SNEmbedding(SpectralLayer):
    """Table (classes, width), normalised as its transpose, so u is (1, classes). forward: (n,) -> (n, width)."""

    def __init__(self, *, name: str, classes: int, width: int, init: Init, dtype: str):
        super().__init__(name=name, shape=(classes, width), init=init, bias=False, dtype=dtype)
        self.matrix = (width, classes)

    def _kernel_init(self) -> Callable:
        return self.init.orthogonal(f"{self.path}/kernel", rows=self.matrix[1])

    def as_matrix(self) -> Tensor:
        return ops.transpose(self.kernel.value)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        return ops.cast(ops.transpose(matrix), self.compute_dtype)

    def forward(self, labels: Tensor, weights: Weights) -> Tensor:
        return ops.take(weights[self.path], labels, axis=0)


def power_iteration(matrices: Tensor, u: Tensor, *, stop_gradient: bool) -> tuple[Tensor, Tensor]:
    """(norms (g,1,1), new u (g,1,out)) of (g,rows,out) float32 matrices after one iteration from u (g,1,out).

    v = n(u W'), u' = n(v W), norm = v W u''. stop_gradient: hold v and u' fixed (the usual practice); the published
    code differentiates through them.
    """
    v = _unit(ops.matmul(u, ops.transpose(matrices, (0, 2, 1))))
    if stop_gradient:
        v = ops.stop_gradient(v)
    product = ops.matmul(v, matrices)
    new_u = _unit(product)
    if stop_gradient:
        new_u = ops.stop_gradient(new_u)
    return ops.sum(product * new_u, axis=2, keepdims=True), new_u


def _unit(x: Tensor) -> Tensor:
    return x / (ops.sqrt(ops.sum(ops.square(x), axis=2, keepdims=True)) + NORM_EPSILON)


class SpectralNorm:
    """Spectral normalisation of a set of built layers, those of one shape together."""

    def __init__(self, layers: Sequence[SpectralLayer], *, stop_gradient: bool = False):
        self.stop_gradient = stop_gradient
        groups: dict[tuple[int, int], list[SpectralLayer]] = {}
        for layer in layers:
            groups.setdefault(layer.matrix, []).append(layer)
        self.groups = list(groups.values())

    def __call__(self, *, training: bool) -> Weights:
        """{path of layer: kernel / its norm}. One iteration in every call; u moves in training only."""
        weights: Weights = {}
        for layers in self.groups:
            matrices = ops.stack([layer.as_matrix() for layer in layers])
            u = ops.stack([layer.u.value for layer in layers])
            norms, new_u = power_iteration(matrices, u, stop_gradient=self.stop_gradient)
            for i, (layer, matrix) in enumerate(zip(layers, ops.unstack(matrices / norms), strict=True)):
                weights[layer.path] = layer.from_matrix(matrix)
                if training:
                    layer.u.assign(new_u[i])
        return weights


class BatchNorm(keras.Layer):
    """Batch norm over all axes but the last; statistics in float32; moving variance is the biased one.

    affine: with trainable scale and offset. momentum 0.9, epsilon 1e-5 (published code).
    """

    def __init__(self, *, name: str, channels: int, affine: bool, dtype: str = "float32"):
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.channels, self.affine = channels, affine

    def build(self) -> None:
        def weight(name: str, first: str, trainable: bool):
            return self.add_weight(
                shape=(self.channels,), initializer=first, name=name, trainable=trainable, dtype="float32"
            )

        if self.affine:
            self.gamma, self.beta = weight("gamma", "ones", True), weight("beta", "zeros", True)
        self.moving_mean = weight("moving_mean", "zeros", False)
        self.moving_variance = weight("moving_variance", "ones", False)

    def statistics(self, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        """(mean, variance), each (channels,) float32: the batch's in training, which also moves the moving ones."""
        if not training:
            return self.moving_mean.value, self.moving_variance.value
        mean, variance = ops.moments(ops.cast(x, "float32"), axes=tuple(range(len(x.shape) - 1)))
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving.value * BATCH_NORM_MOMENTUM + now * (1.0 - BATCH_NORM_MOMENTUM))
        return mean, variance

    def forward(self, x: Tensor, *, training: bool) -> Tensor:
        mean, variance = self.statistics(x, training=training)
        scale = ops.rsqrt(variance + BATCH_NORM_EPSILON)
        if self.affine:
            scale = scale * self.gamma.value
        offset = -mean * scale
        if self.affine:
            offset = offset + self.beta.value
        return x * ops.cast(scale, x.dtype) + ops.cast(offset, x.dtype)


class Composite(keras.Layer):
    """A layer made of the layers in `parts`, which are built in that order within its name scope."""

    def __init__(self, *, name: str, dtype: str):
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.parts: list[keras.Layer] = []

    def build(self) -> None:
        for part in self.parts:
            part.build()


class ConditionalBatchNorm(Composite):
    """BN(x) * (1 + Wg c) + Wb c with spectrally normalised Wg, Wb. forward: x (n,h,w,C), c (n,condition)."""

    def __init__(self, *, name: str, channels: int, condition: int, init: Init, dtype: str):
        super().__init__(name=name, dtype=dtype)
        common = {"inputs": condition, "outputs": channels, "init": init, "bias": False, "dtype": dtype}
        self.gain = SNDense(name="gain", **common)
        self.shift = SNDense(name="shift", **common)
        self.norm = BatchNorm(name="bn", channels=channels, affine=False, dtype=dtype)
        self.parts = [self.gain, self.shift, self.norm]

    def forward(self, x: Tensor, condition: Tensor, weights: Weights, *, training: bool) -> Tensor:
        mean, variance = self.norm.statistics(x, training=training)
        gain = 1.0 + ops.cast(self.gain.forward(condition, weights), "float32")
        scale = gain * ops.rsqrt(variance + BATCH_NORM_EPSILON)
        offset = ops.cast(self.shift.forward(condition, weights), "float32") - mean * scale
        return x * ops.cast(scale, x.dtype)[:, None, None] + ops.cast(offset, x.dtype)[:, None, None]


class SelfAttention(Composite):
    """x + s * attention(x) of SAGAN, s = 0 at the start; softmax without scale. forward: (n,h,w,C) -> same."""

    def __init__(self, *, name: str, channels: int, init: Init, dtype: str):
        super().__init__(name=name, dtype=dtype)
        self.channels = channels

        def conv(name: str, inputs: int, outputs: int) -> SNConv:
            return SNConv(name=name, size=1, inputs=inputs, outputs=outputs, init=init, dtype=dtype, bias=False)

        self.theta = conv("theta", channels, channels // 8)
        self.phi = conv("phi", channels, channels // 8)
        self.g = conv("g", channels, channels // 2)
        self.result = conv("result", channels // 2, channels)
        self.parts = [self.theta, self.phi, self.g, self.result]

    def build(self) -> None:
        super().build()
        self.s = self.add_weight(shape=(), initializer="zeros", name="s", dtype="float32")

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        height, width, c = x.shape[1], x.shape[2], self.channels
        theta = ops.reshape(self.theta.forward(x, weights), (-1, height * width, c // 8))
        phi = ops.reshape(max_pool(self.phi.forward(x, weights)), (-1, height * width // 4, c // 8))
        g = ops.reshape(max_pool(self.g.forward(x, weights)), (-1, height * width // 4, c // 2))
        attention = ops.softmax(ops.matmul(theta, ops.transpose(phi, (0, 2, 1))), axis=-1)
        mixed = ops.reshape(ops.matmul(attention, g), (-1, height, width, c // 2))
        return x + ops.cast(self.s.value, x.dtype) * self.result.forward(mixed, weights)


def max_pool(x: Tensor) -> Tensor:
    """2x2, (n,h,w,c) -> (n,h/2,w/2,c)."""
    return ops.max_pool(x, 2, 2)


def average_pool(x: Tensor) -> Tensor:
    """2x2, (n,h,w,c) -> (n,h/2,w/2,c)."""
    return ops.average_pool(x, 2, 2)


def blur_pool(x: Tensor) -> Tensor:
    """[1,3,3,1] x [1,3,3,1] / 64 with stride 2 and zero padding of 1, (n,h,w,c) -> (n,h/2,w/2,c)."""
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64.0
    kernel = np.repeat(taps[:, :, None, None], x.shape[-1], axis=2)
    return ops.depthwise_conv(x, ops.convert_to_tensor(kernel, x.dtype), strides=2, padding="same")


def upsample(x: Tensor) -> Tensor:
    """Nearest neighbour, (n,h,w,c) -> (n,2h,2w,c)."""
    return ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)


def spectral_layers(layer: keras.Layer) -> list[SpectralLayer]:
    """All spectrally normalised layers of a tree of `parts`, in order."""
    if isinstance(layer, SpectralLayer):
        return [layer]
    return [found for part in getattr(layer, "parts", ()) for found in spectral_layers(part)]
