"""The devices of JAX that a process may use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from suite.errors import Missing

if TYPE_CHECKING:
    import jax


def setup(*, threads: int, device: str) -> list[jax.Device]:
    """The devices to compute on: every GPU of this machine, or the CPU. Before the first use of JAX.

    threads: of the CPU; what is computed does not depend on them. device: `cpu` or `cuda`. Raises Missing
    where the promised GPU is not there.
    """
    os.environ["NPROC"] = str(threads)  # read by XLA when it makes its pool of threads
    import jax

    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
        return jax.local_devices()
    try:
        return jax.local_devices(backend="cuda")
    except RuntimeError:
        raise Missing("jax sees no GPU", fix="run with DEVICE=cpu, or see docs/gpu.md") from None
