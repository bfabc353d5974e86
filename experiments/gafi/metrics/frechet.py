"""Frechet distance between two feature distributions, each taken as a Gaussian (FID; Heusel et al. 2017).

    d^2 = |m - m'|^2 + Tr(S + S') - 2 Tr((S^1/2 S' S^1/2)^1/2)

Covariances are unbiased, as in the published code. The roots are taken by eigenvalues of symmetric matrices,
which stay real; the published code takes them by a singular value decomposition. The number depends on the
network that gives the features: call it FID *on* that network (metrics/features.py), and never compare across
networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Gaussian:
    """First two moments of a set of features."""

    mean: np.ndarray  # (d,) float64
    covariance: np.ndarray  # (d, d) float64, divided by n - 1


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """Moments of features (n, d), n >= 2; ValueError for fewer."""
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features {features.shape}: at least two rows are needed for a covariance")
    mean = features.mean(axis=0)
    centred = features - mean
    return Gaussian(mean, centred.T @ centred / (len(features) - 1))


def symmetric_root(matrix: np.ndarray) -> np.ndarray:
    """Square root (d, d) of a symmetric positive semidefinite matrix; rounding below zero counts as zero."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Squared Frechet distance of two Gaussians (called FID); >= 0, symmetric up to rounding."""
    root = symmetric_root(a.covariance)
    product = root @ b.covariance @ root
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh((product + product.T) / 2), 0)).sum()
    between = float(np.sum((a.mean - b.mean) ** 2))
    return max(0.0, between + float(np.trace(a.covariance) + np.trace(b.covariance)) - 2 * float(cross))


def fid(real: np.ndarray, fake: np.ndarray) -> float:
    """Frechet distance of features (n, d) and (m, d); few rows push it upwards, so compare equal sizes."""
    return frechet_distance(fit_gaussian(real), fit_gaussian(fake))
