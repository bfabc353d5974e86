"""COCO box metrics written down in NumPy from the protocol: a slow second opinion on pycocotools.

Per class, area range and IoU threshold: in each picture the detections, surest first and at most `limit` of
them, take one after the other the free counted box of highest IoU at or above the threshold; failing that an
ignored box (a crowd region may be taken many times, its IoU is intersection over the detection's area). A
detection on an ignored box, or one without a box and of a size outside the range, is itself ignored. Then all
pictures are pooled, sorted by score, precision is made non-increasing from the right and read off at the
recall points.

Not covered: masks.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from suite.datasets.detections import Detections
from suite.datasets.records import CocoAnnotation, CocoSet
from suite.metrics.coco_result import (
    AREA_RANGES,
    IOU_THRESHOLDS,
    MAX_DETECTIONS,
    RECALL_POINTS,
    UNDEFINED,
    CocoResult,
    summarise,
)
from suite.metrics.iou import box_area, box_ioa, box_iou, xywh_to_xyxy


def coco_ap_reference(ground_truth: CocoSet, detections: Detections) -> CocoResult:
    """COCO metrics of boxes; the same result as `suite.metrics.coco.coco_ap(..., iou_type="bbox")`."""
    precision, recall = reference_tables(ground_truth, detections)
    return summarise(precision, recall, ground_truth)


def reference_tables(ground_truth: CocoSet, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, R, K, A, M) and recall (T, K, A, M), axes as in `suite.metrics.coco_result.summarise`."""
    detections.check_against(ground_truth)
    shape = (len(IOU_THRESHOLDS), len(ground_truth.categories), len(AREA_RANGES), len(MAX_DETECTIONS))
    precision = np.full((shape[0], len(RECALL_POINTS), *shape[1:]), UNDEFINED)
    recall = np.full(shape, UNDEFINED)
    truth, found = _group(ground_truth, detections)
    for k, category in enumerate(ground_truth.categories):
        keys = [(image.id, category.id) for image in ground_truth.images]
        keys = [key for key in keys if key in truth or key in found]
        for a, area_range in enumerate(AREA_RANGES.values()):
            pictures = [_match_picture(truth[key], found[key], detections, area_range) for key in keys]
            for m, limit in enumerate(MAX_DETECTIONS):
                for t in range(len(IOU_THRESHOLDS)):
                    curve = _curve(pictures, t, limit)
                    if curve is not None:
                        precision[t, :, k, a, m], recall[t, k, a, m] = curve
    return precision, recall


Key = tuple[int, int]  # image id, category id


def _group(
    ground_truth: CocoSet, detections: Detections
) -> tuple[dict[Key, list[CocoAnnotation]], dict[Key, list[int]]]:
    """Annotations, and places of detections in the order given, of each picture and class."""
    truth: dict[Key, list[CocoAnnotation]] = defaultdict(list)
    found: dict[Key, list[int]] = defaultdict(list)
    for annotation in ground_truth.annotations:
        truth[annotation.image_id, annotation.category_id].append(annotation)
    for k, key in enumerate(
        zip(detections.image_ids.tolist(), detections.category_ids.tolist(), strict=True)
    ):
        found[key].append(k)
    return truth, found


Match = tuple[
    np.ndarray, np.ndarray, np.ndarray, int
]  # scores (D,), hit (T, D), ignored (T, D), boxes that count


def _match_picture(
    truth: list[CocoAnnotation], mine: list[int], detections: Detections, area_range: tuple[float, float]
) -> Match:
    """Hits and ignored detections of one class in one picture, at every IoU threshold."""
    low, high = area_range
    order = np.array(mine, dtype=np.int64)
    order = order[np.argsort(-detections.scores[order], kind="stable")][: MAX_DETECTIONS[-1]]
    boxes = detections.boxes_xyxy[order]
    left_out = np.array([g.iscrowd or g.ignore or not low <= g.area <= high for g in truth], dtype=bool)
    crowd = np.array([g.iscrowd for g in truth], dtype=bool)
    truth_boxes = xywh_to_xyxy(np.array([g.box_xywh for g in truth]).reshape(-1, 4))
    overlap = np.where(crowd[None, :], box_ioa(boxes, truth_boxes), box_iou(boxes, truth_boxes))
    hit = np.zeros((len(IOU_THRESHOLDS), len(order)), dtype=bool)
    ignored = np.zeros_like(hit)
    area = box_area(boxes)
    outside = (area < low) | (area > high)
    most = overlap.max(axis=1, initial=0.0)
    for t, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(truth), dtype=bool)
        ignored[t] = outside  # what meets no box; most detections of a low confidence do not
        for d in np.flatnonzero(most >= threshold):
            near = free & (overlap[d] >= threshold)
            choice = _last_best(overlap[d], near & ~left_out)
            if choice is None:
                choice = _last_best(overlap[d], near & left_out)
            if choice is None:
                continue
            hit[t, d], ignored[t, d] = not left_out[choice], left_out[choice]
            free[choice] = crowd[choice]
    return detections.scores[order], hit, ignored, int((~left_out).sum())


def _last_best(overlap: np.ndarray, allowed: np.ndarray) -> int | None:
    """Place of the highest overlap among the allowed; of equals the last, as pycocotools takes it."""
    if not allowed.any():
        return None
    best = np.where(allowed, overlap, -1.0)
    return int(np.flatnonzero(best == best.max())[-1])


def _curve(pictures: list[Match], t: int, limit: int) -> tuple[np.ndarray, float] | None:
    """Precision at the recall points, and the recall reached; None without a box that counts."""
    num_truth = sum(match[3] for match in pictures)
    if num_truth == 0:
        return None
    scores = np.concatenate([match[0][:limit] for match in pictures])
    order = np.argsort(-scores, kind="stable")
    hit = np.concatenate([match[1][t, :limit] for match in pictures])[order]
    ignored = np.concatenate([match[2][t, :limit] for match in pictures])[order]
    hits, misses = np.cumsum(hit & ~ignored), np.cumsum(~hit & ~ignored)
    reached = hits / num_truth
    precise = hits / np.maximum(hits + misses, 1)
    precise = np.maximum.accumulate(precise[::-1])[::-1]
    places = np.searchsorted(reached, RECALL_POINTS, side="left")
    sampled = np.append(precise, 0.0)[places]  # 0 beyond the last recall
    return sampled, float(reached[-1]) if len(reached) else 0.0
