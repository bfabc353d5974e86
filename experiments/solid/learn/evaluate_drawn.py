"""Ground truth and predictions drawn side by side, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.solid.learn.data.coco import TargetData
from suite.datasets import Detections
from suite.datasets.masks import decode
from suite.manifest import write_json
from suite.report.draw import draw_annotations

MIN_SCORE = 0.3  # weaker detections are measured, but not drawn
MIN_WIDTH = 384  # pixels of one column
GAP = 6


def draw_pictures(folder: Path, data: TargetData, found: Mapping[str, Detections], *, count: int) -> None:
    """`count` test pictures, evenly spaced in the set: <image id>.png, columns ground truth | each arm.

    drawn.json lists them: columns and, per file, image id and the number of objects of each column.
    """
    folder.mkdir(exist_ok=True)
    rows = []
    for position in evenly(len(data.test), count):
        record = data.test[position]
        image_id = record["image_id"]
        with Image.open(record["file_name"]) as picture:
            rgb = np.asarray(picture.convert("RGB"))
        columns = [truth_column(data, image_id), *(arm_column(data, d, image_id) for d in found.values())]
        drawn = [draw_annotations(rgb, min_width=MIN_WIDTH, **column) for column in columns]
        name = f"{image_id:06d}.png"
        Image.fromarray(side_by_side(drawn)).save(folder / name)
        objects = [len(column["boxes"]) for column in columns]
        rows.append({"file": name, "image_id": image_id, "objects": objects})
    listing = {"columns": ["ground truth", *found], "min_score": MIN_SCORE, "pictures": rows}
    write_json(folder / "drawn.json", listing)


def evenly(total: int, count: int) -> list[int]:
    """`count` of `total` positions, evenly spaced from the first on; all when there are fewer."""
    count = min(count, total)
    return [k * total // count for k in range(count)] if count else []


def truth_column(data: TargetData, image_id: int) -> dict[str, Any]:
    """What `draw_annotations` wants of the ground truth."""
    image = data.test_set.image_by_id[image_id]
    objects = [a for a in data.test_set.annotations_by_image[image_id] if not a.iscrowd]
    boxes = np.array([a.box_xywh for a in objects]).reshape(-1, 4)
    masks = [decode(a.segmentation, image.height, image.width) for a in objects if a.segmentation]
    return {
        "boxes": np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        "label_map": label_map(masks, image.height, image.width) if len(masks) == len(objects) else None,
        "captions": [data.test_set.category_by_id[a.category_id].name for a in objects],
    }


def arm_column(data: TargetData, found: Detections, image_id: int) -> dict[str, Any]:
    """The same of one arm's detections, surest on top."""
    image = data.test_set.image_by_id[image_id]
    chosen = np.flatnonzero((found.image_ids == image_id) & (found.scores >= MIN_SCORE))
    chosen = chosen[np.argsort(found.scores[chosen], kind="stable")]
    names = data.test_set.category_by_id
    return {
        "boxes": found.boxes_xyxy[chosen],
        "label_map": label_map(
            [decode(found.masks[k], image.height, image.width) for k in chosen] if found.masks else [],
            image.height,
            image.width,
        ),
        "captions": [f"{names[int(found.category_ids[k])].name} {found.scores[k]:.2f}" for k in chosen],
    }


def label_map(masks: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """(height, width) int32, 0 none, k = mask k - 1; later masks cover earlier ones."""
    labels = np.zeros((height, width), np.int32)
    for k, mask in enumerate(masks, start=1):
        labels[mask] = k
    return labels


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures (H, W, 3) of one size in a row on white."""
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], axis=1)
