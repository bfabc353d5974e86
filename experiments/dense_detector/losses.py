"""Losses: how wrong the raw output is, given the assignment.

Class loss over all anchors that are not neutral, box loss over the positives; both are divided by the number
of positives of the batch, since the thousands of easy negatives say little about how much there was to learn.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from experiments.dense_detector.assign import NEUTRAL, Assignment
from experiments.dense_detector.boxes import decode_deltas, encode
from experiments.dense_detector.model import RawOutput


class Losses(NamedTuple):
    """Scalars float32. `total` is what to call backward() on."""

    cls: Tensor
    box: Tensor  # times its weight; 0 without a box head
    num_pos: Tensor  # int64, positive anchors of the batch

    @property
    def total(self) -> Tensor:
        """Class and box loss together."""
        return self.cls + self.box


def detection_loss(
    output: RawOutput,
    assignment: Assignment,
    anchors: Tensor,
    boxes: Tensor,
    *,
    kind: Literal["bce_focal", "bce"] = "bce_focal",
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    detach_weight: bool = False,
    negatives_per_positive: float = 3.0,
    box_kind: Literal["smooth_l1", "giou"] = "smooth_l1",
    box_beta: float = 1 / 9,
    box_weight: float = 1.0,
) -> Losses:
    """Losses of a batch; finite and with finite gradients for one without a positive, too.

    From logits (N, P, C) and deltas (N, P, 4) of the network, labels and matched (N, P), anchors (P, 4) and
    boxes (N, M, 4). `bce_focal`: `focal_loss` over all anchors that are not neutral (RetinaNet). `bce`: plain
    cross-entropy over the positives and the worst `negatives_per_positive` times as many negatives (SSD).
    """
    labels, logits = assignment.labels, output.logits.float()
    num_pos = (labels >= 0).sum()
    divisor = num_pos.clamp(min=1)
    targets = class_targets(labels, logits.shape[2])
    if kind == "bce_focal":
        loss = focal_loss(logits, targets, gamma=gamma, alpha=alpha, detach_weight=detach_weight)
        counted = labels != NEUTRAL
    else:
        loss = focal_loss(logits, targets, gamma=0.0, alpha=None)
        counted = (labels >= 0) | hard_negatives(loss.detach().sum(2), labels, negatives_per_positive)
    cls = (loss.sum(2) * counted).sum() / divisor
    if output.deltas is None:
        return Losses(cls, torch.zeros_like(cls), num_pos)
    box = box_losses(output.deltas.float(), assignment, anchors, boxes, kind=box_kind, beta=box_beta)
    return Losses(cls, box_weight * box.sum() / divisor, num_pos)


def class_targets(labels: Tensor, num_classes: int) -> Tensor:
    """bool (N, P, C): true for the class of a positive; a row without a true one is background or neutral."""
    return labels[..., None] == torch.arange(num_classes, device=labels.device)


def focal_loss(
    logits: Tensor, targets: Tensor, *, gamma: float, alpha: float | None, detach_weight: bool = False
) -> Tensor:
    """Focal loss of every logit, same shape as logits and bool targets (RetinaNet, section 3.2).

    With p_t the probability given to the truth: alpha_t (1 - p_t)^gamma (-ln p_t), alpha_t = alpha where the
    target is true, 1 - alpha where it is not, 1 for alpha None. `detach_weight`: the weight counts as a
    constant in the gradient, as in the published code (branch master).
    """
    # The logit of being wrong: sigmoid(wrong) = 1 - p_t and softplus(wrong) = -ln p_t. One formula for both
    # answers, and exact however sure the network is.
    wrong = torch.where(targets, -logits, logits)
    loss = F.softplus(wrong)
    if gamma:
        weight = wrong.sigmoid().pow(gamma)
        loss = loss * (weight.detach() if detach_weight else weight)
    if alpha is not None:
        loss = loss * torch.where(targets, alpha, 1 - alpha)
    return loss


def hard_negatives(loss: Tensor, labels: Tensor, per_positive: float) -> Tensor:
    """bool (N, P): in each picture, the negatives of highest loss (N, P), `per_positive` for each positive.

    A picture without positives counts as one with one, so that it still teaches what is background.
    """
    background = (labels < 0) & (labels != NEUTRAL)
    wanted = (labels >= 0).sum(dim=1, keepdim=True).clamp(min=1) * per_positive  # (N, 1)
    rank = loss.masked_fill(~background, -1).argsort(dim=1, descending=True).argsort(dim=1)  # 0: the worst
    return background & (rank < wanted)


def box_losses(
    deltas: Tensor,
    assignment: Assignment,
    anchors: Tensor,
    boxes: Tensor,
    *,
    kind: Literal["smooth_l1", "giou"],
    beta: float,
) -> Tensor:
    """Loss (F,) of each of the F positives, from deltas (N, P, 4), anchors (P, 4) and boxes (N, M, 4).

    `smooth_l1` on encoded deltas, quadratic below `beta` (Fast R-CNN); `giou` on decoded boxes.
    """
    picture, anchor = (assignment.labels >= 0).nonzero(as_tuple=True)
    truth = boxes[picture, assignment.matched[picture, anchor]]  # (F, 4)
    predicted = deltas[picture, anchor]
    if kind == "giou":
        return generalized_box_iou_loss(decode_deltas(predicted, anchors[anchor]), truth)
    return F.smooth_l1_loss(predicted, encode(truth, anchors[anchor]), beta=beta, reduction="none").sum(1)
