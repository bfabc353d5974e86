"""What the filter lets through: shares per class, per threshold, and histograms of the confidence.

A picture made for class c is kept where the classifier's answer is c and its probability of c is above the
threshold (strictly; GaFi, Dynamic Sample Filtering). Both do not depend on the threshold, so one scored set
serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 20  # of a histogram over [0, 1]


@dataclass(frozen=True, eq=False)
class ScoredSet:
    """Pictures made for known classes, as the classifier sees them."""

    labels: np.ndarray  # (n,) int, the wanted class
    agrees: np.ndarray  # (n,) bool, the classifier's answer is the wanted class
    confidence: np.ndarray  # (n,) float in [0, 1], its probability of the wanted class


def kept(scored: ScoredSet, threshold: float) -> np.ndarray:
    """(n,) bool: which pictures the filter keeps at this threshold."""
    return scored.agrees & (scored.confidence > threshold)


def acceptance(scored: ScoredSet, thresholds: Sequence[float], *, num_classes: int) -> np.ndarray:
    """Share kept of each class at each threshold: (len(thresholds), K) float64; nan where a class is absent.

    Every column is non-increasing in the threshold.
    """
    there = np.bincount(scored.labels, minlength=num_classes)
    counts = np.array(
        [np.bincount(scored.labels[kept(scored, t)], minlength=num_classes) for t in thresholds]
    ).reshape(len(thresholds), num_classes)
    return np.divide(counts, there, out=np.full(counts.shape, np.nan), where=there > 0)


def confidence_histogram(scored: ScoredSet, *, bins: int = BINS) -> dict[str, list]:
    """{"edges": bins + 1 numbers, "agrees": counts, "disagrees": counts} over the wanted probability."""
    edges = np.linspace(0, 1, bins + 1)
    agrees, _ = np.histogram(scored.confidence[scored.agrees], edges)
    disagrees, _ = np.histogram(scored.confidence[~scored.agrees], edges)
    return {"edges": edges.tolist(), "agrees": agrees.tolist(), "disagrees": disagrees.tolist()}
