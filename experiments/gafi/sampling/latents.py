"""Latent vectors as endless sequences, one for each class, that can be read from anywhere.

The j-th latent of a class depends on the stream, the class and j alone: not on the batch it is drawn in, on
other classes, on thresholds asked before or on restarts. They are drawn on the host, in fixed blocks, by a
counter-based generator: the same bits on every backend and device, where each framework's own generator
gives other ones. That costs little beside the networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from suite.errors import BadInput
from suite.seeds import stream_id

BLOCK = 64  # latents drawn at once: what a reader in the middle of a sequence draws in vain at most
_NORMAL, _SPREAD = 0, 1  # which of a block's two sequences

Stddev = float | tuple[float, float]


@dataclass(frozen=True)
class StreamKey:
    """Which sequences: effective seed of the run, number of the generator, regenerations before this one."""

    seed: int
    gan: int = 0
    recycle: int = 0

    def at(self, recycle: int) -> StreamKey:
        """The key of another regeneration."""
        return replace(self, recycle=recycle)


def latents(stream: StreamKey, label: int, start: int, stop: int, *, dim: int) -> np.ndarray:
    """(stop - start, dim) float32 from N(0, 1): the latents number start..stop-1 of class `label`."""
    return _read(stream, label, start, stop, width=dim, sequence=_NORMAL)


def scaled_latents(
    stream: StreamKey, label: int, start: int, stop: int, *, dim: int, stddev: Stddev
) -> np.ndarray:
    """(stop - start, dim) float32: the same latents times `stddev` (GaFi's expansion trick).

    stddev: one number, or (a, b): each sample has its own, from U(a, b). Raises BadInput.
    """
    check_stddev(stddev)
    z = latents(stream, label, start, stop, dim=dim)
    return z * spread(stream, label, start, stop, stddev=stddev)[:, None]


def spread(stream: StreamKey, label: int, start: int, stop: int, *, stddev: Stddev) -> np.ndarray:
    """(stop - start,) float32: the standard deviation of each latent."""
    if not isinstance(stddev, tuple):
        return np.full(stop - start, stddev, np.float32)
    low, high = stddev
    drawn = _read(stream, label, start, stop, width=1, sequence=_SPREAD)[:, 0]
    return np.float32(low) + np.float32(high - low) * drawn


def check_stddev(stddev: Stddev) -> None:
    """Raises BadInput unless it is a positive number or a pair of them in order."""
    values = stddev if isinstance(stddev, tuple) else (stddev, stddev)
    if len(values) != 2 or not all(np.isfinite(v) and v > 0 for v in values) or values[0] > values[1]:
        raise BadInput(f"standard deviation {stddev}", fix="give a number above 0, or a pair (a, b), a <= b")


def _read(stream: StreamKey, label: int, start: int, stop: int, *, width: int, sequence: int) -> np.ndarray:
    """Rows start..stop-1 of one sequence; normal, or uniform in [0, 1)."""
    spawn = (stream_id("gafi.latents"), stream.gan, stream.recycle, label)
    key = np.random.SeedSequence(stream.seed, spawn_key=spawn).generate_state(2, np.uint64)
    first, last = start // BLOCK, -(-stop // BLOCK)
    rows = np.empty((max(last - first, 0), BLOCK, width), np.float32)
    for block in range(first, last):
        rng = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, block, sequence]))
        draw = rng.standard_normal if sequence == _NORMAL else rng.random
        draw(dtype=np.float32, out=rows[block - first])
    offset = first * BLOCK
    return rows.reshape(-1, width)[start - offset : stop - offset]
