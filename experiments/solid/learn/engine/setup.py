"""Seeds, threads and determinism of a training process; states of every generator, for checkpoints."""

from __future__ import annotations

import os
import random
import warnings
from typing import Any

import numpy as np
import torch

from suite.seeds import item_rng


def seed_everything(seed: int, stream: str, rank: int = 0) -> None:
    """Seed the global generators of Python, NumPy and torch, which detectron2 draws from.

    Their states differ between ranks and streams. Initial parameters come from rank 0's stream.
    """
    numbers = item_rng(seed, stream, rank).integers(0, 2**31, size=3)
    random.seed(int(numbers[0]))
    np.random.seed(int(numbers[1]))  # noqa: NPY002 (detectron2's own code uses it)
    torch.manual_seed(int(numbers[2]))


def set_up(threads: int, precision: str = "float32") -> None:
    """CPU threads (they decide the last bits of sums) and deterministic kernels where torch has them."""
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first CUDA product
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # only costs time: nothing reads such memory
    torch.backends.cudnn.benchmark = False
    # detectron2 v0.6 calls it without `indexing`; its grids are those of the default.
    warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release")
    if precision == "float32":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def generator_states() -> dict[str, Any]:
    """The global generators of this process, as tensors and plain values (`weights_only` loading)."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, [int(k) for k in keys], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_generator_states(states: dict[str, Any]) -> None:
    """Undo of `generator_states`."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
