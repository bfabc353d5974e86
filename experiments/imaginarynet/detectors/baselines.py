"""Detections without a detector: what CorLoc and AP are by chance on a set.

    found = baseline_detections("centre", target.train, None, seed=0)
    corloc(target.train, found)
    expected_corloc(target.train, proposals)      # of a random proposal, exactly

Each gives one box of every class in every picture, whatever is in it, with a score drawn uniformly: nothing
is known of the classes. CorLoc asks for the box of a class only where the class is, so there the box alone
counts. No published counterpart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from suite.datasets import CocoImage, CocoSet, Detections
from suite.metrics.iou import box_area, box_iou, xywh_to_xyxy
from suite.metrics.voc import VocResult
from suite.seeds import item_rng

Baseline = Literal["random", "largest", "centre"]
WITHOUT_PROPOSALS: tuple[Baseline, ...] = ("centre",)
WITH_PROPOSALS: tuple[Baseline, ...] = ("random", "largest", "centre")
ProposalsOf = Callable[[CocoImage], np.ndarray]  # -> float32 (R, 4): x1, y1, x2, y2 in pixels of the picture
STREAM = "imaginarynet.baselines"
CENTRE_SHARE = 0.5  # of the picture's width and height


def centre_box(width: int, height: int) -> np.ndarray:
    """float64 (4,): the box in the middle with half the picture's width and height."""
    sides = np.array([width, height], np.float64)
    margin = sides * (1 - CENTRE_SHARE) / 2
    return np.concatenate([margin, sides - margin])


def largest_proposal(boxes: np.ndarray) -> np.ndarray:
    """float64 (4,): of R > 0 proposals the one of the largest area, of equals the first."""
    return np.asarray(boxes, np.float64)[int(box_area(boxes).argmax())]


def baseline_detections(
    name: Baseline, target: CocoSet, proposals_of: ProposalsOf | None, *, seed: int
) -> Detections:
    """One box of every class in every picture.

    random: a proposal of its own for each class, drawn evenly; largest: the proposal of the largest area;
    centre: `centre_box`. A picture without proposals has no box but that. `proposals_of` may be None for
    centre. Raises ValueError for another baseline without proposals.
    """
    if proposals_of is None and name not in WITHOUT_PROPOSALS:
        raise ValueError(f"baseline {name!r} needs proposals")
    num_classes = len(target.categories)
    category_ids = [category.id for category in target.categories]
    image_ids: list[int] = []
    scores, boxes = [np.zeros(0)], [np.zeros((0, 4))]
    for image in target.images:
        rng = item_rng(seed, f"{STREAM}.{name}", image.id)
        found = None if name == "centre" or proposals_of is None else proposals_of(image)
        if found is None:
            chosen = np.tile(centre_box(image.width, image.height), (num_classes, 1))
        elif not len(found):
            continue
        elif name == "largest":
            chosen = np.tile(largest_proposal(found), (num_classes, 1))
        else:
            chosen = np.asarray(found, np.float64)[rng.integers(len(found), size=num_classes)]
        image_ids += [image.id] * num_classes
        boxes.append(chosen)
        scores.append(rng.random(num_classes))
    ids = np.array(category_ids * (len(image_ids) // num_classes if num_classes else 0))
    return Detections(np.array(image_ids), ids, np.concatenate(scores), np.concatenate(boxes))


def expected_corloc(target: CocoSet, proposals_of: ProposalsOf, *, iou_threshold: float = 0.5) -> VocResult:
    """CorLoc of a proposal drawn evenly, without the noise of drawing it.

    Per class the mean, over the pictures that hold it, of the share of proposals with an IoU above
    `iou_threshold` with any of its objects; 0 for a picture without proposals.
    """
    shares: dict[int, list[float]] = {category.id: [] for category in target.categories}
    for image in target.images:
        rows = target.annotations_by_image[image.id]
        boxes = proposals_of(image) if rows else np.zeros((0, 4))
        for category_id in sorted({row.category_id for row in rows}):
            objects = xywh_to_xyxy(np.array([r.box_xywh for r in rows if r.category_id == category_id]))
            is_right = (box_iou(boxes, objects) > iou_threshold).any(axis=1)
            shares[category_id].append(float(is_right.mean()) if len(is_right) else 0.0)
    per_class = {
        category.name: float(np.mean(shares[category.id])) if shares[category.id] else None
        for category in target.categories
    }
    values = [value for value in per_class.values() if value is not None]
    return VocResult(float(np.mean(values)) if values else None, per_class)
