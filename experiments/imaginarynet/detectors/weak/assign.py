"""Pseudo boxes and what they make of every proposal (OICR, section 3.2), without a loop over proposals.

Nothing here has a gradient, and no teacher's scores are written to: on the CPU a view of them would change
the graph of the very losses they supervise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class Seeds:
    """The pseudo boxes of one picture: P proposals, at most one per class of the picture."""

    rows: Tensor  # int64 (P,): places among the proposals, all different
    classes: Tensor  # int64 (P,): 0..C-1, ascending
    weights: Tensor  # float32 (P,): the teacher's score of the proposal for the class


@dataclass(frozen=True, eq=False)
class Targets:
    """What R proposals are taught."""

    labels: Tensor  # int64 (R,): BACKGROUND, or a class + 1
    weights: Tensor  # float32 (R,): of the proposal's loss
    seeds: Tensor  # int64 (R,): place among the proposals of the pseudo box that overlaps most


@torch.no_grad()
def choose_seeds(teacher: Tensor, labels: Tensor) -> Seeds:
    """The surest proposal of each class of the picture, classes ascending, no proposal twice.

    teacher: float32 (R, C), R at least 1, scores without the background. labels: (C,), above 0 where the
    picture shows the class. Where classes outnumber proposals, the last ones get none.
    """
    taken = torch.zeros(len(teacher), dtype=torch.bool, device=teacher.device)
    rows, classes = [], labels.gt(0).nonzero()[:, 0][: len(teacher)]
    for label in classes:
        row = teacher[:, label].masked_fill(taken, -1.0).argmax()
        taken[row] = True
        rows.append(row)
    picked = torch.stack(rows) if rows else classes
    return Seeds(picked, classes, teacher[picked, classes])


@torch.no_grad()
def assign(boxes: Tensor, seeds: Seeds, *, fg_iou: float, ignore_iou: float) -> Targets:
    """Each proposal follows the pseudo box it overlaps most: its class from `fg_iou` on, else background.

    The weight is the pseudo box's, for the background too, and 0 below `ignore_iou` (pcl.pytorch: 0.1; OICR
    itself: 0). Without pseudo boxes all proposals are background of weight 0. boxes: float32 (R, 4).
    """
    if not len(seeds.rows):
        nothing = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return Targets(nothing + BACKGROUND, boxes.new_zeros(len(boxes)), nothing)
    overlap, nearest = box_iou(boxes, boxes[seeds.rows]).max(dim=1)
    labels = torch.where(overlap >= fg_iou, seeds.classes[nearest] + 1, BACKGROUND)
    weights = torch.where(overlap >= ignore_iou, seeds.weights[nearest], 0.0)
    return Targets(labels, weights, seeds.rows[nearest])
