"""The published mean average precision at IoU 0.5 (published code; dissertation, evaluation section).

Detections below a confidence floor of 0.5 are dropped; each of the others, surest first, is compared with the
one ground-truth box of greatest IoU in its picture and class: a hit if the IoU is at least 0.5 and no surer
detection took that box, else a miss, even where a second box would have been free. All pictures are pooled,
precision is made monotone from the right, AP is the area under all points, the mean is over the classes that
have ground truth. The floor cuts the curve off at the recall that is reached there, so the number is below
the usual one; `scores.py` computes the usual ones beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from suite.datasets.detections import Detections
from suite.datasets.records import CocoSet
from suite.metrics.iou import box_iou, xywh_to_xyxy
from suite.metrics.voc import average_precision

CONFIDENCE_FLOOR = 0.5  # published code
IOU_THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Truth:
    """Ground-truth boxes of all pictures, concatenated; boxes in the pixels of the detections."""

    image_ids: np.ndarray  # int64 (G,)
    labels: np.ndarray  # int64 (G,)
    boxes_xyxy: np.ndarray  # float64 (G, 4)

    def __len__(self) -> int:
        return len(self.image_ids)


@dataclass(frozen=True)
class CompatResult:
    """Fractions in [0, 1]; `mean` is None where there is no ground truth at all."""

    mean: float | None
    per_label: Mapping[int, float]


def compat_map(
    truth: Truth,
    detections: Detections,
    *,
    confidence_floor: float = CONFIDENCE_FLOOR,
    iou_threshold: float = IOU_THRESHOLD,
) -> CompatResult:
    """The published metric. `detections.category_ids` are compared with `truth.labels`.

    Of equal confidences the first given is the surer one.
    """
    kept = detections.scores >= confidence_floor
    per_label = {}
    for label in np.unique(truth.labels):
        mine = np.flatnonzero(kept & (detections.category_ids == label))
        mine = mine[np.argsort(-detections.scores[mine], kind="stable")]
        own = truth.labels == label
        hits = _hits(
            truth.image_ids[own], truth.boxes_xyxy[own],
            detections.image_ids[mine], detections.boxes_xyxy[mine], iou_threshold,
        )  # fmt: skip
        found = np.cumsum(hits)
        precision = found / np.arange(1, len(hits) + 1)
        recall = found / own.sum()
        per_label[int(label)] = average_precision(recall, precision, use_07_metric=False)
    mean = float(np.mean(list(per_label.values()))) if per_label else None
    return CompatResult(mean, per_label)


def _hits(
    truth_ids: np.ndarray, truth_boxes: np.ndarray, ids: np.ndarray, boxes: np.ndarray, threshold: float
) -> np.ndarray:
    """bool (P,): which detections, given surest first, are hits."""
    # One IoU matrix per picture: the product of all pictures would be mostly zeros.
    box_of, overlap = np.full(len(ids), -1), np.zeros(len(ids))
    by_picture = np.argsort(truth_ids, kind="stable")
    sorted_ids = truth_ids[by_picture]
    order = np.argsort(ids, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(ids[order])) + 1):
        if not len(group):
            continue
        start, stop = np.searchsorted(sorted_ids, (ids[group[0]], ids[group[0]] + 1))
        if start == stop:
            continue
        rows = by_picture[start:stop]
        iou = box_iou(boxes[group], truth_boxes[rows])
        best = iou.argmax(axis=1)
        box_of[group], overlap[group] = rows[best], iou[np.arange(len(group)), best]
    candidates = np.flatnonzero(overlap >= threshold)
    _, first = np.unique(box_of[candidates], return_index=True)  # the surest of those on the same box
    hits = np.zeros(len(ids), dtype=bool)
    hits[candidates[first]] = True
    return hits


def truth_of(coco: CocoSet, positions: np.ndarray | None = None) -> Truth:
    """The boxes of a data set, or of its images at these positions; labels are category ids."""
    images = coco.images if positions is None else [coco.images[int(p)] for p in positions]
    rows = [one for image in images for one in coco.annotations_by_image[image.id]]
    return Truth(
        np.array([one.image_id for one in rows], dtype=np.int64),
        np.array([one.category_id for one in rows], dtype=np.int64),
        xywh_to_xyxy(np.array([one.box_xywh for one in rows], dtype=np.float64)),
    )
