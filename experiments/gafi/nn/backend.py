"""The few things that `keras.ops` does not have: compiling, gradients and stateless random numbers.

Everything that trains is a pure function of explicit state (nn/state.py): lists of arrays in, lists of arrays
out. So the same step runs on TensorFlow (the default) and on JAX (`KERAS_BACKEND=jax`), a checkpoint is the
list itself, and one compiled step serves every network of a search instead of being traced again for each.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np

from suite.errors import BadInput, Missing

NAME = keras.backend.backend()
if NAME not in ("tensorflow", "jax"):
    raise BadInput(f"KERAS_BACKEND={NAME} is not supported", fix="use tensorflow or jax")
if NAME == "tensorflow":
    import tensorflow as tf
else:
    import jax

Tensor = Any  # tf.Tensor or jax.Array
_WITH_XLA: ContextVar[bool] = ContextVar("with_xla", default=False)


def setup(*, threads: int, device: str) -> None:
    """Number of threads, device, reproducible kernels. Before the first operation of the process.

    threads: of each operation on the CPU; the result depends on it, so it is a setting, never guessed.
    device: `cpu` or `cuda`. Raises Missing where the promised GPU is not there.
    """
    if NAME == "jax":
        _setup_jax(device)
        return
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return
    if not gpus:
        raise _no_gpu()
    tf.config.experimental.set_memory_growth(gpus[0], True)


def _setup_jax(device: str) -> None:
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
        return
    try:
        found = jax.devices("cuda")
    except RuntimeError:
        found = []
    if not found:
        raise _no_gpu()


def _no_gpu() -> Missing:
    return Missing(f"{NAME} sees no GPU", fix="run with DEVICE=cpu, or see docs/gpu.md")


def jit(function: Callable, *, xla: bool = False, donate: Sequence[int] = ()) -> Callable:
    """`function` compiled. xla: with XLA, where TensorFlow leaves the choice; JAX always uses it.

    donate: positions of arguments whose memory may be used for the results (JAX; TensorFlow finds out).
    """
    if NAME == "jax":
        return jax.jit(function, donate_argnums=tuple(donate))

    def traced(*args: Any) -> Any:
        token = _WITH_XLA.set(xla)
        try:
            return function(*args)
        finally:
            _WITH_XLA.reset(token)

    return tf.function(traced, jit_compile=xla, autograph=False)


def compiling_with_xla() -> bool:
    """Whether the operations being traced by `jit` will be compiled by XLA."""
    return NAME == "jax" or _WITH_XLA.get()


def value_and_grad(function: Callable) -> Callable:
    """From `f(params, *args) -> (loss, aux)`: `(params, *args) -> ((loss, aux), grads)`; params is a list."""
    if NAME == "jax":
        return jax.value_and_grad(function, has_aux=True)

    def call(params: list[Tensor], *args: Any) -> tuple[tuple[Tensor, Any], list[Tensor]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(params)
            loss, aux = function(params, *args)
        grads = tape.gradient(loss, params, unconnected_gradients="zero")
        return (loss, aux), [tf.convert_to_tensor(grad) for grad in grads]  # of a table: dense, as on JAX

    return call


def uniform(key: Tensor, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Tensor:
    """Float32 in [low, high), a function of the key alone. key: two 32-bit integers, see `make_key`."""
    if NAME == "jax":
        return jax.random.uniform(_jax_key(key), tuple(shape), minval=low, maxval=high)
    return tf.random.stateless_uniform(shape, key, low, high)


def normal(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Float32 from N(0, 1), a function of the key alone."""
    if NAME == "jax":
        return jax.random.normal(_jax_key(key), tuple(shape))
    return tf.random.stateless_normal(shape, key)


def fold_in(key: Tensor, number: int) -> Tensor:
    """Another key, for the `number`-th use of this one inside a compiled function."""
    key = keras.ops.convert_to_tensor(key, "int32")
    return keras.ops.stack([key[0], keras.ops.bitwise_xor(key[1], number * 0x9E37 + 1)])


def make_key(seed: int, stream: str, index: int) -> np.ndarray:
    """(2,) int32 for item `index` of a stream; the host's side of `uniform` and `normal`."""
    from suite.seeds import item_rng

    return item_rng(seed, stream, index).integers(-(2**31), 2**31, size=2, dtype=np.int64).astype(np.int32)


def _jax_key(key: Tensor) -> Tensor:
    data = jax.lax.bitcast_convert_type(jax.numpy.asarray(key, "int32"), "uint32")
    return jax.random.wrap_key_data(data, impl="threefry2x32")


def to_numpy(tree: Any) -> Any:
    """Arrays of the host, in the same nesting of lists, tuples and dicts."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, tree)
