"""Classification accuracy score (CAS): how well a classifier taught by synthetic images does on real ones.

CAS = accuracy on the real test set; gap = accuracy of the classifier trained on real images - CAS, in
percentage points (GaFi, section on metrics; Ravuri and Vinyals 2019). The published code reports plain
accuracy. Balanced accuracy, the mean of the per-class ones, is beside it because synthetic sets are balanced
and test sets need not be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ClassScores:
    """What a classifier gets right on a labelled set of K classes."""

    accuracy: float  # in [0, 1]
    balanced_accuracy: float  # mean of per_class over the classes that are there
    per_class: np.ndarray  # (K,) float64 in [0, 1]; nan where the set has no picture of the class
    confusion: np.ndarray  # (K, K) int64, row = true class, column = predicted class


def class_scores(predictions: np.ndarray, labels: np.ndarray, *, num_classes: int) -> ClassScores:
    """Scores of predicted classes int (n,) against true classes int (n,), both in [0, num_classes).

    Raises ValueError for an empty set, different lengths, or a class outside the range.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"predictions {predictions.shape} and labels {labels.shape} are not two equal columns"
        )
    if min(predictions.min(), labels.min()) < 0 or max(predictions.max(), labels.max()) >= num_classes:
        raise ValueError(f"a class is not in 0..{num_classes - 1}")
    cells = np.bincount(labels.astype(np.int64) * num_classes + predictions, minlength=num_classes**2)
    confusion = cells.reshape(num_classes, num_classes)
    right, there = np.diag(confusion), confusion.sum(axis=1)
    per_class = np.divide(right, there, out=np.full(num_classes, np.nan), where=there > 0)
    return ClassScores(
        accuracy=float(right.sum() / there.sum()),
        balanced_accuracy=float(np.nanmean(per_class)),
        per_class=per_class,
        confusion=confusion,
    )


def gap_points(real_accuracy: float, synthetic_accuracy: float) -> float:
    """Real accuracy minus CAS, both in [0, 1], in percentage points; negative where synthetic data win."""
    return 100.0 * (real_accuracy - synthetic_accuracy)


def spread_of_accuracy(accuracy: float, num_pictures: int) -> float:
    """Standard error (in [0, 1]) of an accuracy measured on that many pictures: of a binomial share.

    Says how far two accuracies on one test set lie apart by chance alone; runs with other seeds vary more.
    """
    return float(np.sqrt(accuracy * (1 - accuracy) / num_pictures))
