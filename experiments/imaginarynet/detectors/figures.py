"""Figures of one detector on the target set: AP on the test split, localisation on the training split.

AP (IoU above 0.5): VOC 2007's eleven points, the area from 2010 on, and COCO's beside them. CorLoc on the
training split, as WSDDN and OICR report it. All figures are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from suite.datasets import CocoSet, Detections
from suite.errors import BadInput
from suite.metrics.iou import box_area, box_iou, xywh_to_xyxy
from suite.metrics.voc import VocResult, corloc, voc_ap

COCO_SHOWN = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")


def category_ids(class_names: Sequence[str], target: CocoSet) -> tuple[int, ...]:
    """The target's id of each class of a detector. Raises BadInput for a class that the target lacks."""
    ids = {category.name: category.id for category in target.categories}
    unknown = [name for name in class_names if name not in ids]
    if unknown:
        what = f"the target set has no class {unknown[0]!r}, which the detector knows"
        raise BadInput(what, fix="evaluate on a set with the detector's classes, or name them alike")
    return tuple(ids[name] for name in class_names)


def only(target: CocoSet, class_names: Sequence[str]) -> CocoSet:
    """The set with the given classes alone; every picture stays."""
    kept = tuple(category for category in target.categories if category.name in set(class_names))
    ids = {category.id for category in kept}
    objects = tuple(one for one in target.annotations if one.category_id in ids)
    return CocoSet(target.images, objects, kept, target.info, target.skipped)


def surest_overall(found: Detections, most: int) -> Detections:
    """The surest `most` of each class over all pictures, in their order; 0: all of them.

    OICR, published code: no more than 40 times the number of pictures; of equal scores the first stay.
    """
    if not most:
        return found
    rank = np.empty(len(found), np.int64)
    for category_id in np.unique(found.category_ids):
        mine = np.flatnonzero(found.category_ids == category_id)
        rank[mine[np.argsort(-found.scores[mine], kind="stable")]] = np.arange(len(mine))
    kept = rank < most
    return Detections(
        found.image_ids[kept], found.category_ids[kept], found.scores[kept], found.boxes_xyxy[kept]
    )


def test_figures(target: CocoSet, found: Detections, *, iou: float = 0.5) -> dict[str, Any]:
    """`voc07_ap`, `voc_area_ap` with `mean` and `per_class`, `coco`, and the sizes of what was measured."""
    from suite.metrics.coco import coco_ap

    coco = asdict(coco_ap(target, found, iou_type="bbox"))
    return {
        "pictures": len(target.images),
        "objects": counted(target),
        "detections": len(found),
        "voc07_ap": _tree(voc_ap(target, found, use_07_metric=True, iou_threshold=iou)),
        "voc_area_ap": _tree(voc_ap(target, found, use_07_metric=False, iou_threshold=iou)),
        "coco": {name: coco[name] for name in COCO_SHOWN},
    }


def train_figures(target: CocoSet, best: Detections, *, iou: float = 0.5) -> dict[str, Any]:
    """`corloc` with `mean` and `per_class`, and the area of the surest box over that of its object.

    best: the surest box of each class in each picture.
    """
    ratios = area_ratios(target, best)
    return {
        "pictures": len(target.images),
        "objects": counted(target),
        "corloc": _tree(corloc(target, best, iou_threshold=iou)),
        "median_area_ratio": float(np.median(ratios)) if len(ratios) else None,
        "area_ratio_pairs": len(ratios),
    }


def area_ratios(target: CocoSet, best: Detections) -> np.ndarray:
    """Area of the surest box over that of the object it overlaps most, float64 (n,).

    One value per picture and class in it, where the surest box touches an object of the class at all. Below
    1: parts of objects, as WSDDN is known for; above: more than the object.
    """
    ratios = []
    for image_id, rows in target.annotations_by_image.items():
        here = np.flatnonzero(best.image_ids == image_id)
        for category_id in sorted({row.category_id for row in rows}):
            mine = here[best.category_ids[here] == category_id]
            if not mine.size:
                continue
            box = best.boxes_xyxy[mine[best.scores[mine].argmax()]]
            objects = xywh_to_xyxy(np.array([r.box_xywh for r in rows if r.category_id == category_id]))
            overlap = box_iou(box, objects)[0]
            nearest = int(overlap.argmax())
            if overlap[nearest] > 0:
                ratios.append(box_area(box)[0] / box_area(objects[nearest])[0])
    return np.array(ratios, dtype=np.float64)


def counted(target: CocoSet) -> int:
    """Objects that AP counts: neither difficult nor a crowd."""
    return sum(not (one.ignore or one.iscrowd) for one in target.annotations)


def class_rows(target: CocoSet, test: Mapping[str, Any], train: Mapping[str, Any]) -> list[dict[str, object]]:
    """Rows of per_class.csv: objects of the test split and percent; empty where a class has no object."""
    objects = {category.id: 0 for category in target.categories}
    for one in target.annotations:
        objects[one.category_id] += not (one.ignore or one.iscrowd)
    return [
        {
            "class_name": category.name,
            "objects": objects[category.id],
            "voc07_ap": percent(test["voc07_ap"]["per_class"][category.name]),
            "voc_area_ap": percent(test["voc_area_ap"]["per_class"][category.name]),
            "corloc": percent(train["corloc"]["per_class"].get(category.name)),
        }
        for category in target.categories
    ]


def percent(share: float | None) -> float | None:
    """100 times a share; None stays None."""
    return None if share is None else 100 * share


def _tree(result: VocResult) -> dict[str, Any]:
    return {"mean": result.mean, "per_class": dict(result.per_class)}
