"""Detections of a Mask R-CNN on pictures, as COCO results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from suite.datasets import Detections
from suite.datasets.masks import encode


@torch.inference_mode()
def predict(
    model: nn.Module,
    batches: Iterable[list[dict[str, Any]]],
    category_ids: Sequence[int],
    *,
    after: Callable[[int], None] = lambda pictures: None,
) -> Detections:
    """All detections, boxes and masks in pixels of the stored pictures.

    model: a detectron2 GeneralizedRCNN in evaluation mode; batches: its input dicts with "image_id";
    category_ids: COCO id of each class number; after: called with the size of each finished batch. Pictures
    that are padded to different sizes never share a forward pass, so how they are batched does not matter
    beyond the last bits of float sums.
    """
    parts: list[Detections] = []
    for batch in batches:
        for group in same_padding(batch, model.backbone.size_divisibility):
            outputs = model(group)
            parts += [
                _detections(item["image_id"], output["instances"], category_ids)
                for item, output in zip(group, outputs, strict=True)
            ]
        after(len(batch))
    if not parts:
        return Detections.empty(masks=True)
    return Detections(
        image_ids=np.concatenate([part.image_ids for part in parts]),
        category_ids=np.concatenate([part.category_ids for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        boxes_xyxy=np.concatenate([part.boxes_xyxy for part in parts]),
        masks=tuple(mask for part in parts for mask in part.masks or ()),
    )


def same_padding(batch: Sequence[dict[str, Any]], divisor: int) -> Iterator[list[dict[str, Any]]]:
    """The batch cut into groups of equal height and width after padding to multiples of `divisor`."""
    groups: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    for item in batch:
        size = tuple(-(-side // max(divisor, 1)) for side in item["image"].shape[1:])
        groups.setdefault(size, []).append(item)
    yield from groups.values()


def _detections(image_id: int, instances: Any, category_ids: Sequence[int]) -> Detections:
    """One picture's detectron2 Instances; its masks are bool (n, height, width) of the stored picture."""
    found = instances.to("cpu")
    classes = found.pred_classes.numpy()
    return Detections(
        image_ids=np.full(len(found), image_id),
        category_ids=np.asarray(category_ids, np.int64)[classes],
        scores=found.scores.double().numpy(),
        boxes_xyxy=found.pred_boxes.tensor.double().numpy(),
        masks=tuple(encode(mask) for mask in found.pred_masks.numpy()),
    )
