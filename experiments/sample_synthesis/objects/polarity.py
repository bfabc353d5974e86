"""Which of two regions is the object?

An unsupervised network splits a picture into two regions and numbers them by chance. An object lies in the
middle of its picture and its surroundings at the border, so the mask of a set of pictures shows the object if
it covers the middle more than the border. The rule is symmetric: of a mask and its complement exactly one is
flipped, unless the two coverages are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BORDER_SHARE = 1 / 16  # width of the border, share of the side
CENTRE_SHARE = 1 / 2  # side of the middle, share of the side


@dataclass(frozen=True)
class Coverage:
    """Mean of the masks of a set, in [0, 1]."""

    border: float
    centre: float

    @property
    def is_inverted(self) -> bool:
        """Whether the masks show the surroundings."""
        return self.border > self.centre


def border_width(side: int) -> int:
    """Pixels of the border of a picture of this side, at least 1."""
    return max(1, round(side * BORDER_SHARE))


def coverage(masks: np.ndarray) -> Coverage:
    """Coverage of border and middle by masks (n, S, S), float in [0, 1] or uint8 in 0..255."""
    scale = 255.0 if masks.dtype == np.uint8 else 1.0
    mean = masks.mean(axis=0, dtype=np.float64) / scale if len(masks) else np.zeros(masks.shape[1:])
    side = masks.shape[1]
    width, quarter = border_width(side), round(side * (1 - CENTRE_SHARE) / 2)
    inner = mean[width : side - width, width : side - width]
    num_border = mean.size - inner.size
    border = (mean.sum() - inner.sum()) / num_border
    return Coverage(float(border), float(mean[quarter : side - quarter, quarter : side - quarter].mean()))


def polarity(masks: np.ndarray) -> bool:
    """Whether the masks (n, S, S) of a set are to be flipped to show the object."""
    return coverage(masks).is_inverted


def flipped(masks: np.ndarray) -> np.ndarray:
    """The complement, of the same type: 1 - m, or 255 - m of uint8."""
    return (255 if masks.dtype == np.uint8 else 1) - masks
