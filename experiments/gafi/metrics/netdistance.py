"""NetDistance of the published code: how differently one network takes real and synthetic pictures.

    probability distance = (CE_real - CE_fake)^2, cross entropies against the labels
    feature distance     = sum over classes of |mean feature of the real - mean feature of the fake|^2

It is taken on C_real ("pre") and on a network of random weights ("rand"). The published code sums over 10
classes whatever the data set, so CIFAR-100 loses 90 and 7 classes give nan; here the sum runs over the
classes there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.gafi.metrics.features import Features

# Below it a probability counts as this: one sure mistake must not make the mean infinite.
TINY = 1e-12


@dataclass(frozen=True)
class NetDistance:
    """The two distances of one network."""

    probability: float
    feature: float


def net_distance(
    real: Features, fake: Features, *, real_labels: np.ndarray, fake_labels: np.ndarray, num_classes: int
) -> NetDistance:
    """Distances between labelled pictures, by what one network makes of them. labels: int (n,), in [0, K).

    Raises ValueError where a set has no picture of a class: its mean is not defined.
    """
    entropy = cross_entropy(real.probabilities, real_labels) - cross_entropy(fake.probabilities, fake_labels)
    means = [
        class_means(one.features, labels, num_classes)
        for one, labels in ((real, real_labels), (fake, fake_labels))
    ]
    return NetDistance(probability=entropy**2, feature=float(np.sum((means[0] - means[1]) ** 2)))


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log p of the labelled class; probabilities (n, K), labels int (n,)."""
    wanted = np.asarray(probabilities, dtype=np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(wanted, TINY)).mean())


def class_means(features: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Mean feature of each class: (K, d) float64."""
    counts = np.bincount(labels, minlength=num_classes)
    if not counts.all():
        raise ValueError(f"no picture of class {int(np.argmin(counts))}")
    sums = np.zeros((num_classes, features.shape[1]))
    np.add.at(sums, labels, np.asarray(features, dtype=np.float64))
    return sums / counts[:, None]
