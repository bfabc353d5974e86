"""COCO average precision of boxes or masks, by pycocotools.

    result = coco_ap(read_coco("annotations.json"), read_detections("results.json", ground_truth),
    iou_type="bbox") print(result.ap, result.ap50)

`suite.metrics.reference` computes the box metrics a second time in NumPy; the tests compare the two.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from suite.datasets.detections import Detections
from suite.datasets.masks import to_rle
from suite.datasets.records import CocoSet
from suite.datasets.rle import rle_area
from suite.errors import BadInput
from suite.metrics.coco_result import (
    AREA_RANGES,
    IOU_THRESHOLDS,
    MAX_DETECTIONS,
    RECALL_POINTS,
    CocoResult,
    summarise,
)
from suite.metrics.iou import xyxy_to_xywh


def coco_ap(
    ground_truth: CocoSet, detections: Detections, *, iou_type: Literal["bbox", "segm"]
) -> CocoResult:
    """COCO metrics of `detections` over all pictures and classes of `ground_truth`.

    Crowd regions and annotations marked `ignore` count neither as found nor as missed. Raises BadInput for
    detections of unknown pictures or classes and, with "segm", for objects without a mask.
    """
    precision, recall = coco_tables(ground_truth, detections, iou_type=iou_type)
    return summarise(precision, recall, ground_truth)


def coco_tables(
    ground_truth: CocoSet, detections: Detections, *, iou_type: Literal["bbox", "segm"]
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, R, K, A, M) and recall (T, K, A, M), axes as in `suite.metrics.coco_result.summarise`."""
    detections.check_against(ground_truth)
    with_masks = iou_type == "segm"
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress by print
        truth = _index(ground_truth, _truth_rows(ground_truth, with_masks))
        found = _index(ground_truth, _detection_rows(ground_truth, detections, with_masks))
        evaluation = _Evaluation(truth, found, iou_type)
        params = evaluation.params
        params.iouThrs, params.recThrs, params.maxDets = IOU_THRESHOLDS, RECALL_POINTS, list(MAX_DETECTIONS)
        params.areaRng, params.areaRngLbl = [list(pair) for pair in AREA_RANGES.values()], list(AREA_RANGES)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


class _Evaluation(COCOeval):
    """COCOeval that also leaves out annotations marked `ignore`; the original overwrites that flag by
    `iscrowd`.
    """

    def _prepare(self) -> None:
        super()._prepare()
        for rows in self._gts.values():
            for row in rows:
                row["ignore"] = row["left_out"]


def _index(ground_truth: CocoSet, rows: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i.id, "width": i.width, "height": i.height} for i in ground_truth.images],
        "annotations": rows,
        "categories": [{"id": c.id, "name": c.name} for c in ground_truth.categories],
    }
    coco.createIndex()
    return coco


def _truth_rows(ground_truth: CocoSet, with_masks: bool) -> list[dict[str, Any]]:
    rows = []
    # Numbered from 1: COCOeval takes a match with id 0 for none.
    for number, annotation in enumerate(ground_truth.annotations, start=1):
        row = {
            "id": number,
            "image_id": annotation.image_id,
            "category_id": annotation.category_id,
            "bbox": list(annotation.box_xywh),
            "area": annotation.area,
            "iscrowd": int(annotation.iscrowd),
            "left_out": int(annotation.iscrowd or annotation.ignore),
        }
        if with_masks:
            if annotation.segmentation is None:
                what = f"annotation {annotation.id} has no mask, but masks are to be compared"
                raise BadInput(what, fix="evaluate boxes, or use a set with masks")
            image = ground_truth.image_by_id[annotation.image_id]
            row["segmentation"] = to_rle(annotation.segmentation, image.height, image.width)
        rows.append(row)
    return rows


def _detection_rows(ground_truth: CocoSet, detections: Detections, with_masks: bool) -> list[dict[str, Any]]:
    if with_masks and detections.masks is None and len(detections):
        raise BadInput(
            "the detections have no masks, but masks are to be compared", fix="evaluate boxes instead"
        )
    xywh = xyxy_to_xywh(detections.boxes_xyxy)
    rows = []
    for k in range(len(detections)):
        row = {
            "id": k + 1,
            "image_id": int(detections.image_ids[k]),
            "category_id": int(detections.category_ids[k]),
            "score": float(detections.scores[k]),
            "bbox": xywh[k].tolist(),
            "area": float(xywh[k, 2] * xywh[k, 3]),
            "iscrowd": 0,
        }
        if with_masks:
            assert detections.masks is not None
            image = ground_truth.image_by_id[row["image_id"]]
            row["segmentation"] = to_rle(detections.masks[k], image.height, image.width)
            row["area"] = float(rle_area(row["segmentation"]))
        rows.append(row)
    return rows
