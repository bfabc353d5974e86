"""From raw output to detections: score, decode, suppress."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from experiments.dense_detector.boxes import clip_boxes, decode_deltas, nms_class_wise
from experiments.dense_detector.model import RawOutput


class Detections(NamedTuple):
    """What was found in one picture, best first; boxes in pixels of the resized picture."""

    boxes: Tensor  # float32 (D, 4) x1, y1, x2, y2
    scores: Tensor  # float32 (D,), in 0..1
    labels: Tensor  # int64 (D,)


@torch.no_grad()
def decode(
    output: RawOutput,
    anchors: Tensor,
    image_hw: tuple[int, int],
    *,
    score: float = 0.05,
    top: int = 400,
    nms_iou: float = 0.5,
    max_detections: int = 100,
    class_wise: bool = True,
) -> list[Detections]:
    """Detections of each of N pictures, from logits (N, P, C), deltas (N, P, 4) or None and anchors (P, 4).

    Every pair of anchor and class is a candidate; the `top` best scores of at least `score` are decoded,
    clipped to the picture and suppressed within their class. Without deltas a box is its anchor.
    `class_wise=False`: as published, each anchor stands for its best class only and classes suppress each
    other.
    """
    scores = output.logits.float().sigmoid()  # (N, P, C)
    found = []
    for picture, of_picture in enumerate(scores):
        deltas = None if output.deltas is None else output.deltas[picture].float()
        kept, anchor, label = _candidates(of_picture, score, top, class_wise)
        boxes = anchors[anchor] if deltas is None else decode_deltas(deltas[anchor], anchors[anchor])
        boxes = clip_boxes(boxes, image_hw)
        groups = label if class_wise else torch.zeros_like(label)
        survivors = nms_class_wise(boxes, kept, groups, nms_iou)[:max_detections]
        found.append(Detections(boxes[survivors], kept[survivors], label[survivors]))
    return found


def _candidates(
    scores: Tensor, min_score: float, top: int, class_wise: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Score, anchor and class (each (k,), k <= top) of the best candidates in scores (P, C), best first."""
    num_classes = scores.shape[1]
    if class_wise:
        flat, best_class = scores.flatten(), None
    else:
        flat, best_class = scores.max(dim=1)
    best, index = flat.topk(min(top, len(flat)))
    best, index = best[best >= min_score], index[best >= min_score]
    if best_class is not None:
        return best, index, best_class[index]
    return best, index // num_classes, index % num_classes
