"""Pascal VOC metrics: AP by eleven points (2007) or by area (from 2010 on), and CorLoc.

VOC measures boxes in whole pixels and adds one to each side (`xmax - xmin + 1`). On our half-open boxes that
is the plain width, so there is no `+ 1` here and the numbers are those of the VOC tools.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from suite.datasets.detections import Detections
from suite.datasets.records import CocoAnnotation, CocoSet
from suite.metrics.iou import box_iou, xywh_to_xyxy


@dataclass(frozen=True)
class VocResult:
    """`mean` over the classes that have ground truth, and each class by name (None without ground truth)."""

    mean: float | None
    per_class: dict[str, float | None]


def voc_ap(
    ground_truth: CocoSet,
    detections: Detections,
    *,
    use_07_metric: bool,
    iou_threshold: float = 0.5,
    strict: bool = True,
) -> VocResult:
    """VOC average precision as fractions in [0, 1].

    Detections of a class, surest first over all pictures (equal scores in the order given), are each compared
    with the one box of highest IoU in their picture: a hit if the IoU is above `iou_threshold` and the box is
    still free; left out if that box is difficult (`ignore`, or a crowd region); else a miss. `strict=False`
    counts an IoU of exactly the threshold as a hit too, as some papers' own evaluators do.
    """
    detections.check_against(ground_truth)
    return _by_class(
        ground_truth,
        lambda category_id: _class_ap(
            ground_truth,
            detections,
            category_id,
            use_07_metric=use_07_metric,
            threshold=iou_threshold,
            strict=strict,
        ),
    )


def average_precision(recall: np.ndarray, precision: np.ndarray, *, use_07_metric: bool) -> float:
    """AP of one curve: `recall` (n,) rising and `precision` (n,), detection by detection.

    2007: mean over recalls 0, 0.1, ..., 1 of the best precision at that recall or beyond. Later: the area
    under the curve after precision was made non-increasing from the right.
    """
    if use_07_metric:
        points = np.arange(0.0, 1.1, 0.1)  # the published tool's own doubles: its 0.3 is 0.30000000000000004
        return float(np.mean([precision[recall >= point].max(initial=0.0) for point in points]))
    recall = np.concatenate(([0.0], recall, [1.0]))
    precision = np.concatenate(([0.0], precision, [0.0]))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * precision[1:]))


def corloc(ground_truth: CocoSet, detections: Detections, *, iou_threshold: float = 0.5) -> VocResult:
    """Correct localisation: of the pictures that hold a class, the share whose surest box of that class has
    an IoU above `iou_threshold` with any of its objects.

    Difficult objects count like the others, as in the published script; a picture without a detection is a
    miss, and of equal scores the first given is the surest.
    """
    detections.check_against(ground_truth)
    return _by_class(
        ground_truth, lambda category_id: _class_corloc(ground_truth, detections, category_id, iou_threshold)
    )


def _by_class(ground_truth: CocoSet, measure: Callable[[int], float | None]) -> VocResult:
    per_class = {category.name: measure(category.id) for category in ground_truth.categories}
    values = [value for value in per_class.values() if value is not None]
    return VocResult(float(np.mean(values)) if values else None, per_class)


def _truth(ground_truth: CocoSet, category_id: int) -> dict[int, list[CocoAnnotation]]:
    """Annotations of one class by picture; only pictures that have any."""
    pairs = ground_truth.annotations_by_image.items()
    by_image = {image_id: [g for g in rows if g.category_id == category_id] for image_id, rows in pairs}
    return {image_id: rows for image_id, rows in by_image.items() if rows}


def _boxes(rows: list[CocoAnnotation]) -> np.ndarray:
    return xywh_to_xyxy(np.array([g.box_xywh for g in rows]))


def _class_ap(
    ground_truth: CocoSet,
    detections: Detections,
    category_id: int,
    *,
    use_07_metric: bool,
    threshold: float,
    strict: bool,
) -> float | None:
    truth = _truth(ground_truth, category_id)
    boxes = {image_id: _boxes(rows) for image_id, rows in truth.items()}
    difficult = {image_id: [g.ignore or g.iscrowd for g in rows] for image_id, rows in truth.items()}
    num_truth = sum(not flag for flags in difficult.values() for flag in flags)
    if num_truth == 0:
        return None
    mine = np.flatnonzero(detections.category_ids == category_id)
    mine = mine[np.argsort(-detections.scores[mine], kind="stable")]
    # Overlaps of a picture at once; the walk in the order of confidence only sees what meets a box.
    best, most = np.zeros(len(mine), np.int64), np.zeros(len(mine))
    images = detections.image_ids[mine]
    for image_id, found in boxes.items():
        places = np.flatnonzero(images == image_id)
        overlap = box_iou(detections.boxes_xyxy[mine[places]], found)
        best[places], most[places] = overlap.argmax(axis=1), overlap.max(axis=1)
    meets = most > threshold if strict else most >= threshold
    hit, miss = np.zeros(len(mine)), (~meets).astype(float)
    taken: set[tuple[int, int]] = set()
    for place in np.flatnonzero(meets):
        key = int(images[place]), int(best[place])
        if not difficult[key[0]][key[1]]:
            free = key not in taken
            taken.add(key)
            hit[place], miss[place] = free, not free
    hits, misses = np.cumsum(hit), np.cumsum(miss)
    precision = hits / np.maximum(hits + misses, 1)
    return average_precision(hits / num_truth, precision, use_07_metric=use_07_metric)


def _class_corloc(
    ground_truth: CocoSet, detections: Detections, category_id: int, threshold: float
) -> float | None:
    truth = _truth(ground_truth, category_id)
    if not truth:
        return None
    num_right = 0
    for image_id, rows in truth.items():
        mine = np.flatnonzero((detections.category_ids == category_id) & (detections.image_ids == image_id))
        if mine.size:
            surest = mine[detections.scores[mine].argmax()]
            num_right += bool((box_iou(detections.boxes_xyxy[surest], _boxes(rows)) > threshold).any())
    return num_right / len(truth)
