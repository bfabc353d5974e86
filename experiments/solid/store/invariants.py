"""What must hold for one sample, as a list of complaints; pure functions over decoded samples.

Boxes are half-open pixel rectangles. Source of the definitions: SOLID code, annotation of the target
renderer.
"""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np

from experiments.solid.store.samples import QuerySample, TargetSample, decode_png
from experiments.solid.store.schema import StoreLayout
from suite.errors import BadInput

RATIO_TOLERANCE = 1e-5  # the ratio is stored as float32


def tight_boxes(label_map: np.ndarray, num_boxes: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 4) int64 x1, y1, x2, y2 half-open and areas (n,) of labels 1..n of an (H, W) map.

    A label that is absent has area 0 and an empty box.
    """
    y, x = np.nonzero(label_map)
    labels = label_map[y, x].astype(np.int64) - 1
    height, width = label_map.shape
    rows = max(num_boxes, labels.max(initial=-1) + 1)
    boxes = np.tile(np.array([width, height, 0, 0], dtype=np.int64), (rows, 1))
    np.minimum.at(boxes[:, 0], labels, x)
    np.minimum.at(boxes[:, 1], labels, y)
    np.maximum.at(boxes[:, 2], labels, x + 1)
    np.maximum.at(boxes[:, 3], labels, y + 1)
    return boxes[:num_boxes], np.bincount(labels, minlength=num_boxes)[:num_boxes]


def target_problems(sample: TargetSample, layout: StoreLayout) -> list[str]:
    """Complaints about one target; empty means it is good."""
    problems = _picture_problems(sample.image, (layout.height, layout.width, 3))
    n = len(sample.bboxes)
    if not 1 <= n <= layout.max_objects:
        problems.append(f"{n} boxes, expected 1..{layout.max_objects}")
    labels = np.unique(sample.label_map)
    if labels[labels > 0].tolist() != list(range(1, n + 1)):
        problems.append(f"label map holds {labels[labels > 0].tolist()}, expected 1..{n}")
        return problems
    boxes, areas = tight_boxes(sample.label_map, n)
    for row in np.flatnonzero((boxes != sample.bboxes[:, :4]).any(axis=1)):
        problems.append(f"box {row} is {sample.bboxes[row, :4].tolist()}, its mask {boxes[row].tolist()}")
    classes = sample.bboxes[:, 4]
    if ((classes < 0) | (classes >= layout.num_classes)).any():
        problems.append(f"a class is outside 0..{layout.num_classes - 1}: {sorted(set(classes.tolist()))}")
    ratio = areas / ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    if not np.allclose(sample.mask_bbox_ratio, ratio, rtol=0, atol=RATIO_TOLERANCE):
        problems.append("mask_bbox_ratio differs from mask area / box area")
    if not ((sample.visibility > 0) & (sample.visibility <= 1)).all():
        problems.append("a visibility is outside (0, 1]")
    if not np.isfinite(sample.angles).all():
        problems.append("an angle is not finite")
    if sample.attempts < 1:
        problems.append(f"attempts is {sample.attempts}")
    return problems


def scene_problems(scene: dict | None, sample: TargetSample, index: int) -> list[str]:
    """Complaints about the scene file of target `index`, given its parsed JSON (None: it did not parse)."""
    if scene is None:
        return ["scene is not valid JSON"]
    problems = []
    if scene.get("index") != index:
        problems.append(f"scene is of index {scene.get('index')}")
    placed = [item["class_id"] for item in scene.get("objects", ())]
    extra = [c for c in sample.bboxes[:, 4].tolist() if c not in placed]
    if extra or len(sample.bboxes) > len(placed):
        problems.append(f"boxes of classes {extra} have no object in the scene ({len(placed)} objects)")
    return problems


def parse_scene(text: str) -> dict | None:
    """The scene file as a dict, None where it does not parse."""
    try:
        scene = json.loads(text)
    except json.JSONDecodeError:
        return None
    return scene if isinstance(scene, dict) else None


def query_problems(sample: QuerySample, layout: StoreLayout) -> list[str]:
    """Complaints about the views of one class; a view that does not show the object (empty) is allowed."""
    problems = []
    side = layout.query_resolution
    for shot, data in enumerate(sample.shots):
        if data:
            problems += [f"shot {shot}: {p}" for p in _picture_problems(data, (side, side, 3), exact=False)]
    if not sample.num_views:
        problems.append("no view shows the object")
    return problems


def equal_shots(sample: QuerySample) -> list[tuple[int, int]]:
    """Pairs of views with the same bytes. A turntable shows a solid of revolution so, but no other model."""
    numbered = [(i, shot) for i, shot in enumerate(sample.shots) if shot]
    return [(i, j) for (i, a), (j, b) in combinations(numbered, 2) if a == b]


def _picture_problems(data: bytes, shape: tuple[int, int, int], *, exact: bool = True) -> list[str]:
    try:
        found = decode_png(data).shape
    except BadInput as error:
        return [str(error)]
    fits = found == shape if exact else all(f <= s for f, s in zip(found, shape, strict=True))
    return [] if fits else [f"picture is {found[1]}x{found[0]}, expected {shape[1]}x{shape[0]}"]
