"""Assignment: which anchors the network is taught to call an object, and which one.

Every anchor of every picture gets one number, `Assignment.labels`:

    0 .. C-1   positive: it stands for a box of that class
    BACKGROUND (-1)   negative: it should score 0 for every class
    NEUTRAL    (-2)   no loss: it overlaps an object too little for the one and too much for the other,
                      or lies in a region that nobody annotated

The whole batch is done at once, on the device where the boxes are: boxes are padded to (N, M, 4), `valid`
says which rows are real. Overlaps lie as (N, M, P), anchors last: P is thousands, M a handful, and the long
axis should be the contiguous one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from experiments.dense_detector.boxes import box_ioa, box_iou

BACKGROUND, NEUTRAL = -1, -2
Rule = Literal["threshold", "published", "atss"]
PUBLISHED_FORCE = 10.0  # published code: a box's best IoU counts ten times, so 0.05 passes a threshold of 0.5
ATSS_CELLS = 9  # ATSS, section 3.2: candidates of a box are the anchors of its 9 nearest cells


class Assignment(NamedTuple):
    """Targets of a batch of N pictures with P anchors."""

    labels: Tensor  # int64 (N, P): class of a positive, else BACKGROUND or NEUTRAL
    matched: Tensor  # int64 (N, P): row of `boxes` that a positive stands for; meaningless elsewhere


def assign(
    anchors: Tensor,
    boxes: Tensor,
    labels: Tensor,
    valid: Tensor,
    *,
    ignore: Tensor | None = None,
    ignore_valid: Tensor | None = None,
    rule: Rule = "threshold",
    pos_iou: float = 0.5,
    neg_iou: float = 0.4,
    force_match: float = 0.05,
    ignore_iou: float = 0.5,
) -> Assignment:
    """Targets for anchors float32 (P, 4) from boxes (N, M, 4), labels int64 (N, M) and valid bool (N, M).

    `threshold`: positive with IoU >= pos_iou, for the box of highest IoU; negative with IoU < neg_iou for all
    boxes; neutral between. Besides, every box whose best IoU is >= force_match owns one anchor at least, see
    `force_matches`. `published`: the same, but a box's best IoU is multiplied by ten instead. `atss`:
    see `atss_overlaps`; reads neither threshold.

    Ignore regions float32 (N, K, 4) with ignore_valid bool (N, K): a negative that overlaps one by IoU >=
    ignore_iou, or lies in one by that share of its area, becomes neutral. A positive stays positive: the
    annotated person in a crowd is annotated. Of equal overlaps the first row of `boxes` wins.
    """
    if boxes.shape[1] == 0:  # no picture of the batch has a box: one row of padding keeps the shapes alive
        boxes, labels, valid = boxes.new_zeros(len(boxes), 1, 4), _column(labels), _column(valid)
    iou = box_iou(boxes, anchors)  # (N, M, P)
    iou.masked_fill_(~valid[..., None], 0)
    if rule == "atss":
        overlap = atss_overlaps(iou, anchors, boxes, valid)
        pos_iou = neg_iou = torch.finfo(iou.dtype).tiny  # whatever is left over 0 was chosen
    else:
        overlap = _inflate_best(iou) if rule == "published" else iou
    best, matched = overlap.max(dim=1)  # (N, P) each
    positive = best >= pos_iou
    negative = best < neg_iou
    if rule != "published":
        picture, box, anchor = force_matches(iou, force_match)
        matched[picture, anchor] = box
        positive[picture, anchor] = True
    if ignore is not None and ignore.shape[1]:
        negative &= ~_ignored(anchors, ignore, ignore_valid, ignore_iou)
    target = torch.where(negative, BACKGROUND, NEUTRAL)
    return Assignment(torch.where(positive, labels.gather(1, matched), target), matched)


def force_matches(iou: Tensor, min_iou: float) -> tuple[Tensor, Tensor, Tensor]:
    """One anchor for each box that no anchor fits well, from iou (N, M, P); 0 in the rows of padding.

    Boxes choose in the order of their best IoU, the highest first; each takes the best anchor that is still
    free and overlaps it. So two boxes that share a best anchor get one each. Returns int64 (F,) three times:
    picture, box (row of M), anchor of the F boxes whose best IoU is >= min_iou.
    """
    best, left = iou.amax(dim=2), iou.clone()  # (N, M); (N, M, P) overlaps with free anchors
    taken = torch.full_like(best, -1, dtype=torch.int64)  # (N, M) anchor of each box
    picture = torch.arange(len(iou), device=iou.device)
    for box in best.argsort(dim=1, descending=True, stable=True).unbind(1):  # (N,): one box of each picture
        overlap, anchor = left[picture, box].max(dim=1)  # (N,); of equal ones the first
        wanted = (best[picture, box] >= min_iou) & (overlap > 0)
        taken[picture, box] = torch.where(wanted, anchor, -1)
        left[picture, :, anchor] *= ~wanted[:, None]
    picture, box = (taken >= 0).nonzero(as_tuple=True)
    return picture, box, taken[picture, box]


def atss_overlaps(iou: Tensor, anchors: Tensor, boxes: Tensor, valid: Tensor) -> Tensor:
    """The overlaps (N, M, P) that ATSS accepts, 0 elsewhere (Zhang et al. 2020, algorithm 1, one level).

    Candidates of a box are the anchors with the nearest centres; it takes those whose IoU is at least mean
    plus deviation of the candidates' and whose centre lies in it: a threshold of its own for every box.
    """
    anchor_xy = (anchors[:, :2] + anchors[:, 2:]) / 2  # (P, 2)
    box_xy = (boxes[..., :2] + boxes[..., 2:]) / 2  # (N, M, 2)
    # By differences: cdist's matrix product is quicker, but too inexact to tell neighbours apart.
    dx, dy = (box_xy[..., None] - anchor_xy.T).unbind(2)  # (N, M, P) each
    distance = dx.square_().add_(dy.square_())
    shapes = int((anchor_xy == anchor_xy[0]).all(dim=1).sum())  # A: anchors of a cell share its centre
    near = distance.topk(min(ATSS_CELLS * shapes, len(anchors)), dim=2, largest=False).indices  # (N, M, k)
    near_iou = iou.gather(2, near)
    threshold = near_iou.mean(dim=2, keepdim=True) + near_iou.std(dim=2, keepdim=True)
    centre = anchor_xy[near]  # (N, M, k, 2)
    inside = ((centre > boxes[:, :, None, :2]) & (centre < boxes[:, :, None, 2:])).all(dim=3)
    accepted = (near_iou >= threshold) & inside & valid[..., None]
    return torch.zeros_like(iou).scatter(2, near, near_iou * accepted)


def _inflate_best(iou: Tensor) -> Tensor:
    """Overlaps (N, M, P) with the best one of each box ten times as large (published code)."""
    best, anchor = iou.max(dim=2, keepdim=True)
    return iou.scatter(2, anchor, best * PUBLISHED_FORCE)


def _ignored(anchors: Tensor, regions: Tensor, valid: Tensor, min_overlap: float) -> Tensor:
    """Whether each anchor lies in a region (N, K, 4) that carries no annotation; bool (N, P)."""
    overlap = torch.maximum(box_iou(regions, anchors), box_ioa(regions, anchors))  # (N, K, P)
    return ((overlap >= min_overlap) & valid[..., None]).any(dim=1)


def _column(x: Tensor) -> Tensor:
    """(N, 0) -> (N, 1) of zeros."""
    return x.new_zeros(len(x), 1)
