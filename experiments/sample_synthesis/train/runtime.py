"""TensorFlow as every process here needs it: threads, device, reproducible kernels."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from suite.errors import Missing


def setup(*, threads: int, device: str, precision: str = "float32") -> None:
    """Number of threads, device, precision. Before the first operation of the process.

    threads: of each operation on the CPU; results depend on it in the last digits, so it is a setting.
    device: `cpu` or `cuda`. precision: Keras' dtype policy. Raises Missing where the promised GPU is not
    there.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(precision)
    gpus = tf.config.list_physical_devices("GPU")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return
    if not gpus:
        raise Missing("TensorFlow sees no GPU", fix="run with DEVICE=cpu, or see docs/gpu.md")
    tf.config.experimental.set_memory_growth(gpus[0], True)
