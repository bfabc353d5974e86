"""What is possible without a box head, and what is trivial: the two ends of the scale for AP.

    ceiling = recall_ceiling(selection, anchors, size_wh)           # {0.5: 0.93, 0.7: 0.41}
    best = oracle(selection, anchors, size_wh)                      # Detections in original pixels
    trivial = mean_box(train_selection, selection)

The oracle knows the answers and may say them in anchors only: for every box that counts it gives the anchor
of highest IoU, with its class and that IoU as score, so that its good ones come first. A detector whose
predictions are unmodified anchors cannot do better. The mean-box predictor has seen the training boxes but
never a picture: it gives each picture the mean box of every class, the more frequent class the surer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from experiments.dense_detector.boxes import box_iou, clip_boxes
from experiments.dense_detector.data import scale_boxes
from experiments.dense_detector.selection import ImageRecord, Selection
from suite.datasets import Detections

IOU_LEVELS = (0.5, 0.7)


def best_anchors(
    image: ImageRecord, anchors: Tensor, size_wh: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Of each counting box its best anchor (n, 4), clipped to the picture and in original pixels, and their
    IoU (n,) in resized pixels. `anchors` (P, 4) in pixels of a picture stretched to `size_wh`.
    """
    original_wh = (image.width, image.height)
    boxes = torch.from_numpy(scale_boxes(image.boxes, original_wh, size_wh))
    clipped = clip_boxes(anchors.cpu(), (size_wh[1], size_wh[0]))
    iou, index = box_iou(boxes, clipped).max(dim=1)
    return scale_boxes(clipped[index].numpy(), size_wh, original_wh), iou.numpy()


def recall_ceiling(
    selection: Selection, anchors: Tensor, size_wh: tuple[int, int], levels: Sequence[float] = IOU_LEVELS
) -> dict[float, float]:
    """Share of the counting boxes whose best anchor reaches each IoU level; needs at least one box."""
    best = np.concatenate([best_anchors(image, anchors, size_wh)[1] for image in selection.images])
    return {level: float((best >= level).mean()) for level in levels}


def oracle(selection: Selection, anchors: Tensor, size_wh: tuple[int, int]) -> Detections:
    """The best anchor of every counting box, as detections in original pixels, scored by their IoU."""
    found = [best_anchors(image, anchors, size_wh) for image in selection.images]
    return _table(
        selection,
        [boxes for boxes, _ in found],
        [iou for _, iou in found],
        [image.labels for image in selection.images],
    )


def mean_box(train: Selection, selection: Selection) -> Detections:
    """The mean box of each class in `train`, in every picture of `selection`.

    Means are taken of corners as shares of the picture, so pictures of any size count alike. The score is the
    share of the training pictures that show the class. Both selections must hold the same classes.
    """
    if train.category_ids != selection.category_ids:
        raise ValueError(f"classes {train.category_ids} of the one are not {selection.category_ids}")
    shares = np.concatenate([_as_shares(image) for image in train.images])
    labels = np.concatenate([image.labels for image in train.images])
    known = np.unique(labels)
    means = np.array([shares[labels == label].mean(axis=0) for label in known])
    scores = np.array([np.mean([label in image.labels for image in train.images]) for label in known])
    boxes = [means * np.tile([image.width, image.height], 2) for image in selection.images]
    number = len(selection.images)
    return _table(selection, boxes, [scores] * number, [known] * number)


def _as_shares(image: ImageRecord) -> np.ndarray:
    return image.boxes / np.tile([image.width, image.height], 2)


def _table(
    selection: Selection, boxes: list[np.ndarray], scores: list[np.ndarray], labels: list[np.ndarray]
) -> Detections:
    """Boxes (n_i, 4), scores (n_i,) and labels (n_i,) of each picture as one table."""
    ids = [np.full(len(rows), image.image_id) for image, rows in zip(selection.images, boxes, strict=True)]
    categories = np.array(selection.category_ids)[np.concatenate(labels)]
    return Detections(np.concatenate(ids), categories, np.concatenate(scores), np.concatenate(boxes))
