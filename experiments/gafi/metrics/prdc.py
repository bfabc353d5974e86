"""How far two sets of features cover each other: k-NN precision and recall, density and coverage.

Not in the published code. Each row stands for the ball around it that reaches its k-th nearest neighbour of
the same set (itself left out). Precision: share of fakes inside any real ball; recall: share of reals inside
any fake ball (Kynkaanniemi et al. 2019). Density: real balls around a fake, over k, on average, which an
outlier with a huge ball moves less; coverage: share of real balls that hold a fake (Naeem et al. 2020). A
ball includes its border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHUNK = 1024  # rows of the distance matrix in memory at a time


@dataclass(frozen=True)
class Cover:
    """The four numbers for one pair of sets; all in [0, 1] but density, which may be above 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def cover(real: np.ndarray, fake: np.ndarray, *, nearest: int = 5, chunk: int = CHUNK) -> Cover:
    """The four of features (n, d) and (m, d); both need more than `nearest` rows, else ValueError."""
    real, fake = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    real_radius = neighbour_distances(real, nearest, chunk=chunk)
    fake_radius = neighbour_distances(fake, nearest, chunk=chunk)
    balls = np.zeros(len(fake))  # real balls around each fake
    covered = np.zeros(len(real), dtype=bool)
    recalled = np.zeros(len(real), dtype=bool)
    for start in range(0, len(real), chunk):
        rows = slice(start, start + chunk)
        distance = squared_distances(real[rows], fake)
        inside = distance <= real_radius[rows, None]
        balls += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
        recalled[rows] = (distance <= fake_radius[None, :]).any(axis=1)
    return Cover(
        precision=float(np.mean(balls > 0)),
        recall=float(recalled.mean()),
        density=float(balls.mean() / nearest),
        coverage=float(covered.mean()),
    )


def neighbour_distances(rows: np.ndarray, nearest: int, *, chunk: int = CHUNK) -> np.ndarray:
    """Squared distance (n,) of each row to its `nearest`-th neighbour among the others."""
    if not 1 <= nearest < len(rows):
        raise ValueError(f"{len(rows)} rows have no {nearest}-th neighbour")
    radius = np.empty(len(rows))
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        distance = squared_distances(part, rows)
        own = np.arange(len(part))
        distance[own, start + own] = np.inf
        radius[start : start + chunk] = np.partition(distance, nearest - 1, axis=1)[:, nearest - 1]
    return radius


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x_i - y_j|^2 of rows (n, d) and (m, d): (n, m) float64, never negative."""
    norms = np.einsum("ij,ij->i", x, x)[:, None] + np.einsum("ij,ij->i", y, y)[None, :]
    return np.maximum(norms - 2 * (x @ y.T), 0)
