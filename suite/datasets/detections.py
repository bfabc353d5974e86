"""What a detector found, as arrays, and the COCO results format on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suite.datasets.coco import read_json, to_lines, write_text
from suite.datasets.records import CocoSet
from suite.datasets.rle import check_rle
from suite.errors import BadInput


@dataclass(frozen=True, eq=False)
class Detections:
    """N detections, in any order. Boxes are half-open corners in pixels of the original picture."""

    image_ids: np.ndarray  # int64 (N,)
    category_ids: np.ndarray  # int64 (N,)
    scores: np.ndarray  # float64 (N,), finite, higher is surer
    boxes_xyxy: np.ndarray  # float64 (N, 4): x1, y1, x2, y2
    masks: tuple[Mapping[str, Any], ...] | None = None  # compressed RLE of each, or None

    def __post_init__(self) -> None:
        wanted = {
            "image_ids": np.int64,
            "category_ids": np.int64,
            "scores": np.float64,
            "boxes_xyxy": np.float64,
        }
        for name, dtype in wanted.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=dtype))
        count = len(self)
        shapes = (self.image_ids.shape, self.category_ids.shape, self.scores.shape, self.boxes_xyxy.shape)
        if shapes != ((count,), (count,), (count,), (count, 4)):
            raise ValueError(f"shapes of ids, classes, scores and boxes do not fit together: {shapes}")
        if self.masks is not None and len(self.masks) != count:
            raise ValueError(f"{len(self.masks)} masks for {count} detections")
        if not np.isfinite(self.scores).all() or not np.isfinite(self.boxes_xyxy).all():
            raise ValueError("a score or box is not finite")
        # Clipping leaves sides of zero; negative ones would get areas that each metric reads in its own way.
        if (self.boxes_xyxy[:, 2:] < self.boxes_xyxy[:, :2]).any():
            raise ValueError("a box has x2 < x1 or y2 < y1")

    def __len__(self) -> int:
        return len(self.image_ids)

    def check_against(self, ground_truth: CocoSet) -> None:
        """BadInput if a detection names a picture or class that the ground truth does not hold."""
        for noun, used, known in (
            ("image_id", self.image_ids, ground_truth.image_by_id),
            ("category_id", self.category_ids, ground_truth.category_by_id),
        ):
            unknown = [int(key) for key in np.unique(used) if int(key) not in known]
            if unknown:
                what = f"detections name {noun} {unknown[0]}, which the ground truth does not hold"
                raise BadInput(what, fix="evaluate on the set that the detector was run on")

    @classmethod
    def empty(cls, *, masks: bool = False) -> Detections:
        """No detections at all; `masks`: as from a detector that gives masks."""
        none = np.zeros(0)
        return cls(none, none, none, np.zeros((0, 4)), () if masks else None)


def write_detections(path: str | Path, detections: Detections) -> None:
    """Write COCO results, one detection a line, by image, then falling score, then order of arrival."""
    order = np.lexsort((-detections.scores, detections.image_ids))
    rows = []
    for k in order:
        x1, y1, x2, y2 = (float(value) for value in detections.boxes_xyxy[k])
        row: dict[str, Any] = {
            "image_id": int(detections.image_ids[k]),
            "category_id": int(detections.category_ids[k]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(detections.scores[k]),
        }
        if detections.masks is not None:
            row["segmentation"] = dict(detections.masks[k])
        rows.append(row)
    write_text(Path(path), to_lines(rows, path) + "\n")


def read_detections(path: str | Path, ground_truth: CocoSet) -> Detections:
    """Read COCO results for the pictures and classes of `ground_truth`; any fault is BadInput.

    Masks are kept when every row has one.
    """
    path = Path(path)
    rows = read_json(path)
    if not isinstance(rows, list):
        raise BadInput(
            "not COCO results: the top level is no list", file=path, fix="check which file this is"
        )
    for position, row in enumerate(rows):
        wrong = _wrong(row, ground_truth)
        if wrong:
            raise BadInput(
                f"detection at position {position}: {wrong}", file=path, fix="write the results again"
            )
    if not rows:
        return Detections.empty()
    xywh = np.array([row["bbox"] for row in rows], dtype=np.float64)
    with_masks = all("segmentation" in row for row in rows)
    return Detections(
        image_ids=np.array([row["image_id"] for row in rows]),
        category_ids=np.array([row["category_id"] for row in rows]),
        scores=np.array([row["score"] for row in rows]),
        boxes_xyxy=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        masks=tuple(row["segmentation"] for row in rows) if with_masks else None,
    )


def _wrong(row: Any, ground_truth: CocoSet) -> str | None:
    """What is wrong with one row of a results file, or None."""
    if not isinstance(row, dict):
        return "is no object"
    if type(row.get("image_id")) is not int or row["image_id"] not in ground_truth.image_by_id:
        return f"image_id {row.get('image_id')!r} is not in the ground truth"
    if type(row.get("category_id")) is not int or row["category_id"] not in ground_truth.category_by_id:
        return f"category_id {row.get('category_id')!r} is not in the ground truth"
    if not _finite(row.get("score")):
        return f"score is {row.get('score')!r}"
    box = row.get("bbox")
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(_finite(value) for value in box)
        or min(box[2:]) < 0
    ):
        return f"bbox is {box!r}, not [x, y, width, height]"
    if "segmentation" in row:
        image = ground_truth.image_by_id[row["image_id"]]
        mask = row["segmentation"]
        try:
            if not isinstance(mask, dict):
                return "segmentation is no RLE"
            check_rle(mask, image.height, image.width)
        except ValueError as error:
            return str(error)
    return None


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
