"""Detections of one split as numbers, by three metrics.

`compat`: the published one (compat.py). `voc`: area under all points, a hit above IoU 0.5. `coco`: averaged
over IoU thresholds. The last two look at detections down to `detector.score_floor`, as a curve that ends at
confidence 0.5 is not the one that they are defined on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.sample_synthesis.metrics.compat import compat_map, truth_of
from suite.datasets.detections import Detections
from suite.datasets.records import CocoSet
from suite.errors import BadInput
from suite.metrics.coco import coco_ap
from suite.metrics.voc import voc_ap

if TYPE_CHECKING:
    from experiments.sample_synthesis.config_sections import DetectorConfig

METRICS = ("compat", "voc", "coco")
COCO_NUMBERS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")
HEADLINES = {  # the number of each metric that tables show: its title
    "compat_map": "mAP@0.5 as published",
    "voc_ap": "AP50 (VOC)",
    "coco_ap": "AP (COCO)",
}


def score(
    coco: CocoSet, detections: Detections, metric: str, detector: DetectorConfig
) -> dict[str, float | None]:
    """{name: fraction in [0, 1]} of one of METRICS; None where there is no ground truth. Raises BadInput."""
    if metric == "compat":
        result = compat_map(truth_of(coco), detections, confidence_floor=detector.min_confidence)
        return {"compat_map": result.mean}
    kept = above(detections, detector.score_floor)
    if metric == "voc":
        return {"voc_ap": voc_ap(coco, kept, use_07_metric=False).mean}
    if metric != "coco":
        raise BadInput(f"there is no metric {metric!r}", fix=f"choose one of {', '.join(METRICS)}")
    found = coco_ap(coco, kept, iou_type="bbox")
    return {f"coco_{name}": getattr(found, name) for name in COCO_NUMBERS}


def all_scores(coco: CocoSet, detections: Detections, detector: DetectorConfig) -> dict[str, float | None]:
    """The numbers of all metrics."""
    found: dict[str, float | None] = {}
    for metric in METRICS:
        found |= score(coco, detections, metric, detector)
    return found


def above(detections: Detections, floor: float) -> Detections:
    """Those of at least this confidence, in their order."""
    kept = np.flatnonzero(detections.scores >= floor)
    return Detections(
        detections.image_ids[kept], detections.category_ids[kept], detections.scores[kept],
        detections.boxes_xyxy[kept],
    )  # fmt: skip
