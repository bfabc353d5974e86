"""Which process of a `torchrun` this is, read from the environment that torchrun sets. No framework.

Without torchrun there is one process: rank 0 of 1.
"""

from __future__ import annotations

import os

from suite.errors import BadInput

_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def under_torchrun() -> bool:
    """Whether every variable of torchrun is set (a lone RANK may come from a scheduler)."""
    return all(name in os.environ for name in _NEEDED)


def rank() -> int:
    """0 is the process that locks, writes and commits; the others only compute."""
    return _number("RANK", 0)


def local_rank() -> int:
    """Number of this process on its host: the GPU that it takes."""
    return _number("LOCAL_RANK", 0)


def world_size() -> int:
    """Processes that work together."""
    return _number("WORLD_SIZE", 1)


def _number(name: str, default: int) -> int:
    if not under_torchrun():
        return default
    try:
        return int(os.environ[name])
    except ValueError:
        raise BadInput(
            f"{name}={os.environ[name]!r} is no number", fix="start with torchrun, or unset it"
        ) from None
