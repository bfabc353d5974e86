"""From the scores of several passes over one picture to its detections.

A test of a weakly supervised detector looks at a picture in several sizes and mirrored, and averages the
scores of each proposal over these passes BEFORE near-duplicates are removed: the proposals are the same in
every pass, so that row r is one region throughout (OICR, section 4.1; published code). Boxes are float32, x1,
y1, x2, y2, half-open, in pixels of the stored picture. Boxes of (R, 4) are one per proposal, of (R, C, 4) one
per proposal and class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from experiments.imaginarynet.detectors.api import Found


@dataclass(frozen=True)
class View:
    """One way to look at a picture: at this length of the side that is scaled, mirrored or not."""

    scale: int  # pixels
    flip: bool


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Which of the scored boxes are detections."""

    min_score: float  # scores must be above it
    nms: float  # IoU above which the less sure of two boxes of a class goes
    per_class: int | None = (
        None  # most boxes of a class in a picture, taken before NMS as in Fast R-CNN's tool
    )
    per_picture: int | None = None  # most detections of a picture, after NMS


def views_of(scales: Iterable[int], *, flip: bool) -> tuple[View, ...]:
    """The passes of a test: every scale, each plain and mirrored where `flip`."""
    return tuple(
        View(scale, mirrored) for scale in scales for mirrored in ((False, True) if flip else (False,))
    )


def mirrored(boxes: Tensor, width: float) -> Tensor:
    """Boxes (..., 4) of a mirrored picture; twice is the identity up to rounding."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def merge(
    passes: Sequence[tuple[Tensor, Tensor]], *, reduction: Literal["mean", "sum"] = "mean"
) -> tuple[Tensor, Tensor]:
    """(boxes, scores) of all passes as one: boxes averaged, scores averaged or summed up.

    passes: boxes (R, 4) or (R, C, 4) and scores (R, C) of each pass, of the same proposals in the same order.
    Sums run in float64, so that equal passes change nothing and the order of passes next to nothing. Raises
    ValueError where there is no pass or shapes differ.
    """
    shapes = {(tuple(boxes.shape), tuple(scores.shape)) for boxes, scores in passes}
    if len(shapes) != 1:
        raise ValueError(f"passes must be of one shape, and at least one: {sorted(shapes)}")
    boxes = torch.stack([one.double() for one, _ in passes]).mean(0)
    scores = torch.stack([one.double() for _, one in passes])
    return boxes.float(), (scores.mean(0) if reduction == "mean" else scores.sum(0)).float()


def detections(boxes: Tensor, scores: Tensor, cut: Cut, *, size: tuple[int, int]) -> Found:
    """What is found in a picture of `size` (height, width), surest first.

    boxes (R, 4) or (R, C, 4), scores (R, C) without a column of the background. Equal scores keep the order
    of classes, then of proposals.
    """
    num_rows, num_classes = scores.shape
    if boxes.ndim == 2:
        boxes = boxes[:, None].expand(num_rows, num_classes, 4)
    keep = scores > cut.min_score
    if cut.per_class is not None and num_rows > cut.per_class:
        place = torch.argsort(scores, dim=0, descending=True, stable=True).argsort(dim=0)
        keep &= place < cut.per_class
    labels, rows = keep.T.nonzero(as_tuple=True)
    chosen, values = inside(boxes[rows, labels], size), scores[rows, labels]
    is_box = (chosen[:, 2:] > chosen[:, :2]).all(dim=1)
    chosen, values, labels = chosen[is_box], values[is_box], labels[is_box]
    left = batched_nms(chosen, values, labels, cut.nms).sort().values
    left = left[torch.argsort(values[left], descending=True, stable=True)][: cut.per_picture]
    return Found(chosen[left].cpu().numpy(), values[left].cpu().numpy(), labels[left].cpu().numpy())


def inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (n, 4) clipped to a picture of `size` (height, width)."""
    high = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return torch.minimum(boxes.clamp(min=0), high)
