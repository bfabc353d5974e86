"""How well masks agree with true ones when nobody said which region is the object.

Published (ReDO, experiments): pixel accuracy and intersection over union, the better of the two assignments
of regions for each picture. What is pasted has one assignment for the whole set, and a constant mask is not
at 0 either; so the figures of both stand beside the published ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from suite.errors import BadInput

THRESHOLD = 0.5


@dataclass(frozen=True)
class MaskScores:
    """Means over pictures, in [0, 1]."""

    accuracy: float  # published: the better assignment of each picture
    iou: float
    set_accuracy: float  # one assignment for the set: the one with the higher IoU
    set_iou: float
    set_is_inverted: bool  # whether that assignment takes the complement
    constant_accuracy: float  # of the better constant mask of each picture: what seeing nothing gives
    constant_iou: float

    def tree(self) -> dict[str, float | bool]:
        """For JSON."""
        return asdict(self)


def score(masks: np.ndarray, truth: np.ndarray) -> MaskScores:
    """Scores of soft masks (n, S, S), above 0.5 or not, against truth (n, S, S), true where above 0.

    Raises BadInput for no pictures or unequal shapes.
    """
    if masks.shape != truth.shape or masks.ndim != 3 or not len(masks):
        raise BadInput(f"masks {masks.shape} cannot be compared with true masks {truth.shape}")
    found, true = masks > THRESHOLD, truth > 0
    accuracies = np.stack([_accuracy(mask, true) for mask in (found, ~found)])  # (2, n)
    ious = np.stack([_iou(mask, true) for mask in (found, ~found)])
    share = true.mean((1, 2))
    inverted = bool(ious[1].mean() > ious[0].mean())
    return MaskScores(
        accuracy=float(accuracies.max(0).mean()),
        iou=float(ious.max(0).mean()),
        set_accuracy=float(accuracies[int(inverted)].mean()),
        set_iou=float(ious[int(inverted)].mean()),
        set_is_inverted=inverted,
        constant_accuracy=float(np.maximum(share, 1 - share).mean()),
        constant_iou=float(np.where(share > 0, share, 1.0).mean()),
    )


def _accuracy(mask: np.ndarray, true: np.ndarray) -> np.ndarray:
    return (mask == true).mean((1, 2))


def _iou(mask: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(n,); two empty masks agree."""
    union = (mask | true).sum((1, 2))
    return np.where(union > 0, (mask & true).sum((1, 2)) / np.maximum(union, 1), 1.0)
