"""Images that accumulate on the device: memory for the whole set, taken once and written in place."""

from __future__ import annotations

import keras
import numpy as np

from experiments.gafi.nn import backend
from experiments.gafi.nn.backend import Tensor

if backend.NAME == "tensorflow":
    import tensorflow as tf
else:
    import jax


class ImageBuffer:
    """Appends some rows of a batch after the other, and hands them out in any order at the end.

    Rows are appended as contiguous blocks: a scatter would be slow, since the deterministic ones of
    TensorFlow go through the host. Memory: `rows` images, on JAX one batch more; `take` needs the result's
    beside it.
    """

    def __init__(self, rows: int):
        """rows: of images that will be appended at most; type and shape come with the first batch."""
        self.rows, self.used = rows, 0
        self._images = None

    def append(self, images: Tensor, rows: np.ndarray) -> None:
        """Copy images[rows] behind what is there. images: (B, H, W, C); rows: (n,) int."""
        if len(rows) == 0:
            return
        if self.used + len(rows) > self.rows:
            raise ValueError(f"{self.used} + {len(rows)} images in a buffer of {self.rows}")
        if backend.NAME == "tensorflow":
            self._append_tensorflow(images, rows)
        else:
            self._append_jax(images, rows)
        self.used += len(rows)

    def take(self, order: np.ndarray) -> Tensor:
        """(len(order), H, W, C): the images number order[0], order[1], ... as they were appended."""
        if backend.NAME == "tensorflow":
            return tf.gather(self._images, tf.constant(order, tf.int32))
        return keras.ops.take(self._images, np.asarray(order, np.int32), axis=0)

    def _append_tensorflow(self, images: Tensor, rows: np.ndarray) -> None:
        if self._images is None:
            shape = (self.rows, *images.shape[1:])
            self._images = tf.Variable(tf.zeros(shape, images.dtype), trainable=False, name="images")
        kept = tf.gather(images, tf.constant(rows, tf.int32))
        self._images[self.used : self.used + len(rows)].assign(kept)

    def _append_jax(self, images: Tensor, rows: np.ndarray) -> None:
        batch = images.shape[0]
        if self._images is None:
            self._images = jax.numpy.zeros((self.rows, *images.shape[1:]), images.dtype)
        if self._images.shape[0] < self.used + batch:  # blocks are written whole
            spare = self.used + batch - self._images.shape[0]
            self._images = jax.numpy.pad(self._images, [(0, spare), *[(0, 0)] * (images.ndim - 1)])
        padded = np.zeros(batch, np.int32)
        padded[: len(rows)] = rows
        self._images = _write(self._images, images, padded, np.int32(self.used))


def _write(buffer: Tensor, images: Tensor, rows: Tensor, offset: Tensor) -> Tensor:
    start = (offset, *[0] * (images.ndim - 1))
    return jax.lax.dynamic_update_slice(buffer, jax.numpy.take(images, rows, axis=0), start)


if backend.NAME == "jax":
    _write = backend.jit(_write, donate=(0,))
