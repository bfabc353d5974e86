"""The weakly supervised step written plainly, for wsod.py and for tests: proposal by proposal.

Pooling crops one proposal at a time out of the features; pseudo boxes and labels come from loops in Python
over the proposals of one picture, after copying the scores to the host, as the published detectors do it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def pool_one_by_one(features: Tensor, boxes: Sequence[Tensor], *, size: int, stride: int) -> Tensor:
    """(N, K, h, w) and N times (R_n, 4), half-open pixels -> (sum of R_n, K, size, size).

    A crop's adaptive maximum pooling has Fast R-CNN's bins as long as the crop lies inside the features.
    """
    pooled = []
    for picture, own in zip(features, boxes, strict=True):
        for box in own.tolist():
            x1, y1, x2, y2 = cells(box, stride)
            crop = picture[:, y1 : y2 + 1, x1 : x2 + 1]
            pooled.append(functional.adaptive_max_pool2d(crop, size))
    return torch.stack(pooled)


def cells(box: Sequence[float], stride: int) -> tuple[int, int, int, int]:
    """The cells of a box's corners, both in it: rounded halves away from zero, at least one cell a side."""
    ends = np.asarray(box, np.float32) - np.array([0, 0, 1, 1], np.float32)
    x1, y1, x2, y2 = (int(math.copysign(math.floor(abs(value) + 0.5), value)) for value in ends / stride)
    return x1, y1, max(x2, x1), max(y2, y1)


def bins_by_loops(picture: np.ndarray, box: Sequence[float], *, size: int, stride: int) -> np.ndarray:
    """Fast R-CNN's pooling of one box bin by bin: (K, h, w) -> (K, size, size); an empty bin is 0."""
    x1, y1, x2, y2 = cells(box, stride)
    _, height, width = picture.shape
    out = np.zeros((len(picture), size, size), picture.dtype)
    for row in range(size):
        for column in range(size):
            top, bottom = _bin(row, y1, y2, size, height)
            left, right = _bin(column, x1, x2, size, width)
            if bottom > top and right > left:
                out[:, row, column] = picture[:, top:bottom, left:right].max(axis=(1, 2))
    return out


def _bin(place: int, first: int, last: int, size: int, end: int) -> tuple[int, int]:
    """Cells first..last-1 of one bin, inside 0..end."""
    length = np.float32(last - first + 1) / np.float32(size)
    low, high = math.floor(place * length) + first, math.ceil((place + 1) * length) + first
    return min(max(low, 0), end), min(max(high, 0), end)


def assign_by_loops(
    boxes: Tensor, teacher: Tensor, labels: Tensor, *, fg_iou: float, ignore_iou: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels, weights and pseudo boxes (R,) of one picture's proposals: the fields of assign.py's Targets.

    Lists of the host, Python loops over classes and proposals.
    """
    known, rows, shown = boxes.cpu().tolist(), teacher.detach().cpu().tolist(), labels.cpu().tolist()
    seeds, taken = [], set()
    for label, is_shown in enumerate(shown):
        free = [row for row in range(len(rows)) if row not in taken]
        if not is_shown or not free:
            continue
        best = max(free, key=lambda row: rows[row][label])
        taken.add(best)
        seeds.append((known[best], label, rows[best][label], best))
    found, weights, follows = [0] * len(known), [0.0] * len(known), [0] * len(known)
    for row, box in enumerate(known):
        overlaps = [iou(box, seed[0]) for seed in seeds]
        if not overlaps:
            continue
        nearest = max(range(len(seeds)), key=overlaps.__getitem__)
        follows[row] = seeds[nearest][3]
        if overlaps[nearest] >= fg_iou:
            found[row] = seeds[nearest][1] + 1
        if overlaps[nearest] >= ignore_iou:
            weights[row] = seeds[nearest][2]
    return tuple(torch.tensor(one, device=boxes.device) for one in (found, weights, follows))


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two half-open boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    union = sum(areas) - shared
    return shared / union if union > 0 else 0.0
