"""Proposals as detectron2 and mmdet take them, in memory: the files that both read are pickles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.imaginarynet.detectors.proposals.records import Proposals
from suite.arrays import write_arrays

XYXY_ABS = 0  # detectron2's BoxMode.XYXY_ABS


def objectness_logits(proposals: Proposals) -> np.ndarray:
    """float32 (R,): the scores, or where no box has one the negated rank.

    detectron2 sorts by them, and its sort turns boxes of equal score around.
    """
    if proposals.scores.any():
        return proposals.scores
    return -np.arange(len(proposals), dtype=np.float32)


def to_detectron2(found: Mapping[int | str, Proposals]) -> dict[str, Any]:
    """By image id -> the dict of detectron2's `load_proposals_into_dataset`.

    ids (list), boxes (list of float32 (R, 4), x1 y1 x2 y2), objectness_logits (list of float32 (R,)),
    bbox_mode (0, absolute corners).
    """
    return {
        "ids": list(found),
        "boxes": [proposals.boxes for proposals in found.values()],
        "objectness_logits": [objectness_logits(proposals) for proposals in found.values()],
        "bbox_mode": XYXY_ABS,
    }


def add_to_dicts(
    dataset_dicts: Sequence[Mapping[str, Any]], found: Mapping[int | str, Proposals]
) -> list[dict[str, Any]]:
    """detectron2's dataset dicts with their proposals, as `load_proposals_into_dataset` would leave them.

    Raises KeyError for an `image_id` without any.
    """
    from detectron2.structures import BoxMode

    return [
        {
            **row,
            "proposal_boxes": found[row["image_id"]].boxes,
            "proposal_objectness_logits": objectness_logits(found[row["image_id"]]),
            "proposal_bbox_mode": BoxMode(XYXY_ABS),
        }
        for row in dataset_dicts
    ]


def write_detectron2(path: Path, found: Mapping[int | str, Proposals]) -> None:
    """The same as .npz: ids, boxes (N, 4), objectness_logits (N,), bbox_mode and offsets, as in book.py."""
    tree = to_detectron2(found)
    counts = [len(boxes) for boxes in tree["boxes"]]
    write_arrays(
        path,
        ids=np.array([str(one) for one in tree["ids"]]),
        offsets=np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64),
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *tree["boxes"]]),
        objectness_logits=np.concatenate([np.zeros(0, np.float32), *tree["objectness_logits"]]),
        bbox_mode=np.array(XYXY_ABS),
    )


def to_mmdet(found: Mapping[Path, Proposals]) -> dict[str, dict[str, np.ndarray]]:
    """By the picture's path -> the dict of mmdet 3's `load_proposals`: `folder/file` -> bboxes and scores.

    bboxes float32 (R, 4), scores float32 (R,); a value alone is what its transform LoadProposals takes as
    `results["proposals"]`. Raises ValueError where two pictures share the folder's and the file's name.
    """
    tree: dict[str, dict[str, np.ndarray]] = {}
    for path, proposals in found.items():
        name = f"{path.parent.name}/{path.name}"
        if name in tree:
            raise ValueError(f"mmdet cannot tell two pictures {name} apart")
        tree[name] = {"bboxes": proposals.boxes, "scores": proposals.scores}
    return tree
