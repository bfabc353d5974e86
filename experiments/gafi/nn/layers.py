"""Layers of BigGAN-deep: conv, dense and embedding with spectral norm, conditional batch norm, attention.

A network asks `SpectralNorm` once per call for all its normalised kernels and hands them to its layers'
`forward`: kernels of one shape go through the power iteration together, as one batched product. The generator
for 32 px has 84 kernels of a dozen shapes, so the compiled step is smaller than with an iteration per layer.

Kernels, `u`, statistics and norms are float32 whatever the precision; only the layers' products are lower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from experiments.gafi.nn.backend import Tensor, compiling_with_xla
from experiments.gafi.nn.batch_norm import EPSILON, MOMENTUM, normalize_batch
from suite.seeds import item_rng

NORM_EPSILON = 1e-12  # added to the length of a vector in the power iteration (published code)
Weights = dict[str, Tensor]  # path of a layer -> its normalised kernel


@dataclass(frozen=True)
class Init:
    """First values of variables, drawn on the host so that both backends start equal.

    sharing: `own` draws each variable from the seed and its path; `upstream` from the seed and its shape, as
    the published code's one initialiser object per layer class did (kernels of one shape start equal).
    """

    seed: int
    sharing: str = "own"

    def orthogonal(self, path: str, *, rows: int) -> Callable:
        """Initialiser: orthonormal columns, or rows where fewer, of the kernel flattened to (rows, -1)."""

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

    matrix: (rows, outputs) of the kernel as a matrix. u: (1, outputs), starts Glorot-uniform, not normalised.
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
            self.bias = self.add_weight(shape=(outputs,), initializer="zeros", name="bias", dtype="float32")
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
    """Convolution, stride 1, zero padding that keeps the size. forward: (n,h,w,in) -> (n,h,w,out).

    size: side of the kernel; 1 is computed as a product of matrices.
    """

    def __init__(
        self, *, name: str, size: int, inputs: int, outputs: int, init: Init, dtype: str, bias: bool = True
    ):
        super().__init__(name=name, shape=(size, size, inputs, outputs), init=init, bias=bias, dtype=dtype)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        return ops.cast(matrix, self.compute_dtype) if self.shape[0] == 1 else super().from_matrix(matrix)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        if self.shape[0] != 1:
            return self.add_bias(ops.conv(x, weights[self.path], padding="same"))
        return _pointwise(x, weights[self.path], self.add_bias)


class SNUpConv(SNConv):
    """`SNConv` 3x3 of the input doubled by nearest neighbour. forward: (n,h,w,in) -> (n,2h,2w,out).

    Computed as one transposed convolution with stride 2, whose 4x4 kernel is the 3x3 kernel summed over the
    2x2 pixels that are equal: 16 products for each input pixel instead of 36, and no doubled map.
    """

    def __init__(self, *, name: str, inputs: int, outputs: int, init: Init, dtype: str):
        super().__init__(name=name, size=3, inputs=inputs, outputs=outputs, init=init, dtype=dtype)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        kernel = ops.pad(ops.reshape(matrix, self.shape), ((1, 1), (1, 1), (0, 0), (0, 0)))
        kernel = kernel[:-1] + kernel[1:]
        kernel = kernel[:, :-1] + kernel[:, 1:]
        return ops.cast(ops.transpose(ops.flip(kernel, (0, 1)), (0, 1, 3, 2)), self.compute_dtype)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        return self.add_bias(ops.conv_transpose(x, weights[self.path], strides=2, padding="same"))


class SNImageConv(SNConv):
    """`SNConv` 3x3 to the few channels of an image. forward: (n,h,w,in) -> (n,h,w,out).

    Computed as the nine products of every pixel (a product of matrices) and a convolution with a constant
    kernel that moves each to its place and adds: a convolution to one channel leaves most of a CPU's lanes
    empty.
    """

    def __init__(self, *, name: str, inputs: int, outputs: int, init: Init, dtype: str):
        super().__init__(name=name, size=3, inputs=inputs, outputs=outputs, init=init, dtype=dtype)
        self.moves = np.eye(9 * outputs, dtype=np.float32).reshape(3, 3, outputs, 9 * outputs).swapaxes(2, 3)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        inputs, outputs = self.shape[2:]
        kernel = ops.transpose(ops.reshape(matrix, (9, inputs, outputs)), (1, 0, 2))
        return ops.cast(ops.reshape(kernel, (inputs, 9 * outputs)), self.compute_dtype)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        products = _pointwise(x, weights[self.path])
        return self.add_bias(ops.conv(products, ops.convert_to_tensor(self.moves, x.dtype), padding="same"))


def _pointwise(x: Tensor, kernel: Tensor, then: Callable | None = None) -> Tensor:
    """1x1 convolution with a kernel (in,out), as one product of matrices."""
    y = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), kernel)
    return ops.reshape(then(y) if then else y, (-1, *x.shape[1:3], kernel.shape[-1]))


class SNDense(SpectralLayer):
    """forward: (n, in) -> (n, out)."""

    def __init__(self, *, name: str, inputs: int, outputs: int, init: Init, dtype: str, bias: bool = True):
        super().__init__(name=name, shape=(inputs, outputs), init=init, bias=bias, dtype=dtype)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        return self.add_bias(ops.matmul(x, weights[self.path]))


class SNEmbedding(SpectralLayer):
    """Table (classes, width), normalised as its transpose; u (1, classes). forward: (n,) -> (n, width)."""

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

    With n(a) = a / (|a| + 1e-12): v = n(u W^T), new u = n(v W), norm = v W (new u)^T. stop_gradient: hold v
    and the new u fixed (the usual practice); the published code differentiates through them.
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
        for layers, stack in self.stacks(training=training):
            for layer, matrix in zip(layers, ops.unstack(stack), strict=True):
                weights[layer.path] = layer.from_matrix(matrix)
        return weights

    def stacks(self, *, training: bool) -> Iterator[tuple[list[SpectralLayer], Tensor]]:
        """The same as (layers, their normalised matrices (g,rows,outputs) float32) for each shape."""
        for layers in self.groups:
            matrices = ops.stack([layer.as_matrix() for layer in layers])
            u = ops.stack([layer.u.value for layer in layers])
            norms, new_u = power_iteration(matrices, u, stop_gradient=self.stop_gradient)
            if training:
                for layer, value in zip(layers, ops.unstack(new_u), strict=True):
                    layer.u.assign(value)
            yield layers, matrices / (norms + NORM_EPSILON)  # defined for a kernel of zeros too


class Composite(keras.Layer):
    """A layer made of the layers in `parts`, which are built in that order within its name scope."""

    def __init__(self, *, name: str, dtype: str):
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.parts: list[keras.Layer] = []

    def build(self) -> None:
        for part in self.parts:
            part.build()


class ConditionalBatchNorm(Composite):
    """BN(x) * (1 + Wg c) + Wb c with spectrally normalised Wg, Wb without bias. forward: (n,h,w,C) -> same.

    The products with the condition c come from `Projections`, for all layers of a network at once.
    """

    def __init__(self, *, name: str, channels: int, condition: int, init: Init, dtype: str):
        super().__init__(name=name, dtype=dtype)
        self.channels = channels
        common = {"inputs": condition, "outputs": channels, "init": init, "bias": False, "dtype": dtype}
        self.gain, self.shift = SNDense(name="gain", **common), SNDense(name="shift", **common)
        self.parts = [self.gain, self.shift]

    def build(self) -> None:
        super().build()
        common = {"shape": (self.channels,), "trainable": False, "dtype": "float32"}
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **common)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", **common)

    def forward(self, x: Tensor, projected: Weights, *, training: bool) -> Tensor:
        gain, shift = projected[self.gain.path], projected[self.shift.path]
        if training:
            y, mean, variance = normalize_batch(x, ops.ones(self.channels), ops.zeros(self.channels))
            for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving.value * MOMENTUM + now * (1.0 - MOMENTUM))
            return y * gain + shift
        scale = ops.rsqrt(self.moving_variance.value + EPSILON)
        total = ops.cast(gain, "float32") * scale
        offset = ops.cast(shift, "float32") - self.moving_mean.value * total
        return x * ops.cast(total, x.dtype) + ops.cast(offset, x.dtype)


class Projections:
    """What the conditional batch norms of a network make of the condition: 1 + Wg c and Wb c of each."""

    def __init__(self, norms: Sequence[ConditionalBatchNorm], *, stop_gradient: bool = False):
        layers = [*(x.gain for x in norms), *(x.shift for x in norms)]
        self.spectral_norm = SpectralNorm(layers, stop_gradient=stop_gradient)

    def __call__(self, condition: Tensor, *, training: bool) -> Weights:
        """{path of `gain` or `shift`: (n,1,1,C)} for a condition (n,c)."""
        projected: Weights = {}
        for layers, stack in self.spectral_norm.stacks(training=training):
            products = ops.matmul(condition, ops.cast(stack, condition.dtype))
            count, channels = stack.shape[0], stack.shape[2]
            products = ops.reshape(products, (count, -1, 1, 1, channels))
            ones = np.repeat([1.0, 0.0], count // 2).reshape(count, 1, 1, 1, 1)  # gains come first
            products = products + ops.convert_to_tensor(ones, products.dtype)
            projected.update(zip((layer.path for layer in layers), ops.unstack(products), strict=True))
        return projected


class SelfAttention(Composite):
    """x + s * attention(x) of SAGAN; s starts at 0; softmax without scale. forward: (n,h,w,C) -> same."""

    def __init__(self, *, name: str, channels: int, init: Init, dtype: str):
        super().__init__(name=name, dtype=dtype)
        self.channels = channels

        def conv(name: str, inputs: int, outputs: int) -> SNConv:
            return SNConv(
                name=name, size=1, inputs=inputs, outputs=outputs, init=init, dtype=dtype, bias=False
            )

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
    if compiling_with_xla():  # it has no reproducible gradient of the pooling operation itself
        return ops.max(ops.reshape(x, (-1, x.shape[1] // 2, 2, x.shape[2] // 2, 2, x.shape[3])), axis=(2, 4))
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
    """Nearest neighbour, (n,h,w,c) -> (n,2h,2w,c). By joining: its gradient is two sums, not a scatter."""
    _, height, width, channels = x.shape
    wide = ops.reshape(ops.concatenate([x, x], axis=-1), (-1, height, 2 * width * channels))
    return ops.reshape(ops.concatenate([wide, wide], axis=-1), (-1, 2 * height, 2 * width, channels))


def spectral_layers(layer: keras.Layer) -> list[SpectralLayer]:
    """All spectrally normalised layers of a tree of `parts`, in order."""
    if isinstance(layer, SpectralLayer):
        return [layer]
    return [found for part in getattr(layer, "parts", ()) for found in spectral_layers(part)]
