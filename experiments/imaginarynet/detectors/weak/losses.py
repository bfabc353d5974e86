"""Scores and losses of WSDDN and OICR, each for the R proposals of one picture.

Column 0 of C + 1 columns is the background. All return scalars unless said otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou

from experiments.imaginarynet.detectors.weak.assign import BACKGROUND, Targets

EDGE = 1e-6  # image scores are kept this far from 0 and 1 (pcl.pytorch)
SPATIAL_COUNT, SPATIAL_IOU = 10, 0.6  # of WSDDN's regulariser: surest boxes looked at, and their overlap
MAX_LOG_SIDE = 4.135  # log(1000 / 16): how much a box may be told to grow (detectron2)


def midn_scores(classes: Tensor, proposals: Tensor, *, temperature: float = 1.0) -> Tensor:
    """(R, C) of both streams -> (R, C): softmax over classes times softmax over proposals.

    A class's sum over the proposals is the picture's score for it: a mean, weighted by the second stream, of
    the first one's probabilities, so in (0, 1). temperature: divides the second stream's logits (WSDDN: 2).
    """
    return classes.softmax(dim=1) * (proposals / temperature).softmax(dim=0)


def midn_loss(scores: Tensor, labels: Tensor, *, reduce: str) -> Tensor:
    """Binary cross-entropy of the picture's scores, summed ("sum") or averaged ("mean") over classes.

    scores: (R, C) of `midn_scores`. labels: float32 (C,), 1 where the picture shows the class.
    """
    picture = scores.sum(dim=0).clamp(EDGE, 1 - EDGE)
    return functional.binary_cross_entropy(picture, labels, reduction=reduce)


def refine_loss(logits: Tensor, targets: Targets, *, log_eps: float = 0.0) -> Tensor:
    """Mean over proposals of weight * -log(probability of the label + log_eps). logits: (R, C + 1)."""
    if log_eps:
        chosen = logits.softmax(dim=1).gather(1, targets.labels[:, None])[:, 0]
        return (targets.weights * -(chosen + log_eps).log()).mean()
    return (targets.weights * functional.cross_entropy(logits, targets.labels, reduction="none")).mean()


def box_loss(
    offsets: Tensor, boxes: Tensor, targets: Targets, *, box_weights: tuple[float, float, float, float]
) -> Tensor:
    """Smooth L1 (beta 1) of the labelled class's offsets to the pseudo box, weighted; over those with weight.

    offsets: (R, C + 1, 4). Background has none. The sum is divided by the number of proposals whose weight is
    above 0 (pcl.pytorch).
    """
    is_object = targets.labels != BACKGROUND
    wanted = encode(boxes[is_object], boxes[targets.seeds[is_object]], box_weights)
    found = offsets[is_object, targets.labels[is_object]]
    loss = functional.smooth_l1_loss(found, wanted, reduction="none", beta=1.0).sum(dim=1)
    return (loss * targets.weights[is_object]).sum() / (targets.weights > 0).sum().clamp(min=1)


def spatial_loss(hidden: Tensor, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """WSDDN's regulariser: the surest boxes that overlap the very surest shall have its features.

    For each class of the picture, half the sum over the 10 surest boxes with IoU above 0.6 to the first of
    (x |f - f_first|)^2, where x is the box's score, as a constant. hidden: (R, width), scores: (R, C).
    The published code's backward pass has x once, this is the gradient of the value it reports.
    """
    total = hidden.new_zeros(())
    for label in labels.gt(0).nonzero()[:, 0]:
        column = scores[:, label].detach()
        best = column.topk(min(SPATIAL_COUNT, len(column))).indices
        near = box_iou(boxes[best], boxes[best[:1]])[:, 0] > SPATIAL_IOU
        chosen = best[near]
        distance = (hidden[chosen] - hidden[best[:1]]).square().sum(dim=1)
        total = total + 0.5 * (column[chosen].square() * distance).sum()
    return total


def encode(boxes: Tensor, wanted: Tensor, box_weights: tuple[float, float, float, float]) -> Tensor:
    """Offsets (n, 4) that turn `boxes` into `wanted`, both (n, 4): centre by side, and log of the sides."""
    (x, y, w, h), (to_x, to_y, to_w, to_h) = _centres(boxes), _centres(wanted)
    offsets = torch.stack([(to_x - x) / w, (to_y - y) / h, (to_w / w).log(), (to_h / h).log()], dim=-1)
    return offsets * offsets.new_tensor(box_weights)


def decode(boxes: Tensor, offsets: Tensor, box_weights: tuple[float, float, float, float]) -> Tensor:
    """Undo of `encode`: boxes (..., 4) moved by offsets (..., 4); sides grow by a factor of at most 62.5."""
    dx, dy, dw, dh = (offsets / offsets.new_tensor(box_weights)).unbind(-1)
    x, y, w, h = _centres(boxes)
    x, y = x + dx * w, y + dy * h
    w, h = w * dw.clamp(max=MAX_LOG_SIDE).exp(), h * dh.clamp(max=MAX_LOG_SIDE).exp()
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centre x, centre y, width, height; sides of at least a thousandth of a pixel."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1).clamp(min=1e-3), (y2 - y1).clamp(min=1e-3)
