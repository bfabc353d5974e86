"""From a detector's outputs to boxes: softmax, confidence floor, offsets, greedy suppression per class.

Section "Detector" of the dissertation and published code: confidence at least 0.5, overlap at least 0.5
suppresses, boxes are not clipped to the image, and all that are left count. Plain numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.sample_synthesis.detector.anchors import Anchors
from experiments.sample_synthesis.detector.archs import VARIANCES


@dataclass(frozen=True)
class Found:
    """The detections of one image, best first.

    Attributes:
        boxes: float32 (k, 4), corners x1, y1, x2, y2 in pixels of the network's input; may reach out of it.
        scores: float32 (k,), probabilities, falling.
        labels: int32 (k,), 1 for the first class that is not background.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def decode(
    outputs: np.ndarray,
    anchors: Anchors,
    *,
    min_confidence: float = 0.5,
    nms_iou: float = 0.5,
    top_k: int | None = None,
) -> list[Found]:
    """Detections of each image.

    Args:
        outputs: float32 (n, A, C + 4), class logits (background first) and encoded offsets.
        anchors: those the offsets refer to.
        min_confidence: least probability of a class, in [0, 1].
        nms_iou: overlap with a better box of the same class at which a box is dropped, in (0, 1].
        top_k: best candidates of each class and image that suppression looks at; None: all, as published.
    """
    outputs = np.asarray(outputs, dtype=np.float32)
    probabilities = softmax(outputs[..., :-4])
    return [
        _decode_one(probability, offset, anchors, (min_confidence, nms_iou, top_k))
        for probability, offset in zip(probabilities, outputs[..., -4:], strict=True)
    ]


def _decode_one(
    probability: np.ndarray, offset: np.ndarray, anchors: Anchors, rule: tuple[float, float, int | None]
) -> Found:
    min_confidence, nms_iou, top_k = rule
    boxes, scores, labels = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.float32)], [np.zeros(0, np.int32)]
    for label in range(1, probability.shape[1]):
        index = np.flatnonzero(probability[:, label] >= min_confidence)
        index = index[np.argsort(-probability[index, label], kind="stable")][:top_k]
        candidates = decode_boxes(offset[index], anchors.centers[index], anchors.sizes[index])
        kept = suppress(candidates, nms_iou)
        boxes.append(candidates[kept])
        scores.append(probability[index[kept], label])
        labels.append(np.full(len(kept), label, np.int32))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Found(*(np.concatenate(parts)[order] for parts in (boxes, scores, labels)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis; same shape and dtype."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def decode_boxes(offsets: np.ndarray, centers: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Corners float32 (k, 4) in pixels from encoded offsets (k, 4) of anchors (k, 2), (k, 2).

    Computed in float64: the rounding of a corner is then that of its float32, at any image size. An exponent
    above 30 (a network that has diverged) is cut there, so that no box is infinite.
    """
    scaled = offsets.astype(np.float64) * np.asarray(VARIANCES)
    center = centers + scaled[:, :2] * sizes
    half = sizes * np.exp(np.minimum(scaled[:, 2:], 30.0)) / 2
    return np.concatenate([center - half, center + half], axis=1).astype(np.float32)


def suppress(boxes: np.ndarray, nms_iou: float) -> np.ndarray:
    """Indices int64 of the boxes that no better one overlaps by `nms_iou` or more; `boxes` best first."""
    boxes = boxes.astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left, kept = np.arange(len(boxes)), []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        top_left = np.maximum(boxes[first, :2], boxes[left, :2])
        sides = np.maximum(np.minimum(boxes[first, 2:], boxes[left, 2:]) - top_left, 0)
        common = sides[:, 0] * sides[:, 1]
        union = areas[first] + areas[left] - common
        left = left[common < nms_iou * union]
    return np.asarray(kept, dtype=np.int64)
