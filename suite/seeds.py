"""Randomness is a parameter: one generator per item, made from the seed and the item's place alone.

`SeedSequence(seed, spawn_key=(stream, index, attempt))`: the result for an item does not depend on shard
size, worker count, order or restarts. There are no global generators anywhere in the suite.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream_id(name: str) -> int:
    """A stable 32-bit number for a stream's name (CRC-32 of its UTF-8 bytes)."""
    return zlib.crc32(name.encode())


def item_rng(seed: int, stream: str, index: int, attempt: int = 0) -> np.random.Generator:
    """Generator for one item of one stream, e.g. `item_rng(seed, "solid.target", 41, attempt=2)`."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream_id(stream), index, attempt)))
