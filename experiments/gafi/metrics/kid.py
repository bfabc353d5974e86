"""Kernel distance between sets of features (KID; Binkowski et al. 2018): unbiased squared MMD, cubic kernel.

    k(x, y) = (x.y / d + 1)^3
    KID = sum_{i != j} k(r_i, r_j) / (n (n - 1)) + sum_{i != j} k(f_i, f_j) / (m (m - 1)) - 2 mean k(r_i, f_j)

n real and m fake rows: each set is normalised by its own size. The published code divides the fake term by
the real count too, which is wrong when the sizes differ, and holds the whole kernel in memory. Not multiplied
by 1000.
"""

from __future__ import annotations

import numpy as np

CHUNK = 1024  # rows of the kernel in memory at a time


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """k(x_i, y_j) of rows (n, d) and (m, d): (n, m) float64."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(real: np.ndarray, fake: np.ndarray, *, chunk: int = CHUNK) -> float:
    """KID of all rows of features (n, d) and (m, d), n, m >= 2; unbiased, so it may be slightly negative."""
    real, fake = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    if min(len(real), len(fake)) < 2:
        raise ValueError(f"{len(real)} and {len(fake)} rows: at least two each are needed")
    within = _within(real, chunk) + _within(fake, chunk)
    cross = sum(float(polynomial_kernel(rows, fake).sum()) for rows in _chunks(real, chunk))
    return within - 2 * cross / (len(real) * len(fake))


def _within(rows: np.ndarray, chunk: int) -> float:
    """Mean of k over pairs of different rows."""
    total = sum(float(polynomial_kernel(part, rows).sum()) for part in _chunks(rows, chunk))
    diagonal = float(np.sum((np.einsum("ij,ij->i", rows, rows) / rows.shape[1] + 1) ** 3))
    return (total - diagonal) / (len(rows) * (len(rows) - 1))


def _chunks(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
