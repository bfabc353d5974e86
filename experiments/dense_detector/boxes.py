"""Box arithmetic in PyTorch. A box is (x1, y1, x2, y2) in pixels, half open: its area is (x2-x1)(y2-y1).

The suite has the same overlaps in NumPy for the metrics (suite/metrics/iou.py); these run on a GPU and on
batches.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.ops import nms

# Offsets are small next to an anchor; dividing by these brings the four targets to about unit variance
# (Fast R-CNN's habit, kept by SSD and RetinaNet).
DELTA_STDS = (0.1, 0.1, 0.2, 0.2)
# A first, wild prediction must not become exp(100): no box is scaled by more than this.
MAX_LOG_SCALE = math.log(1000 / 16)
EMPTY = 1e-9  # px^2; keeps 0 / 0 at 0


def box_area(boxes: Tensor) -> Tensor:
    """Areas (...) in px^2 of boxes (..., 4); 0 for a box turned inside out."""
    width_height = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return width_height[..., 0] * width_height[..., 1]


@torch.no_grad()
def box_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Common areas (..., M, P) of boxes a (..., M, 4) and b (..., P, 4); leading dimensions broadcast.

    Works coordinate by coordinate and in place, on contiguous columns of b: of the M * P numbers of a result
    there are never more than three copies. Overlaps are for choosing, they carry no gradient.
    """
    ax1, ay1, ax2, ay2 = a.unsqueeze(-2).unbind(-1)  # each (..., M, 1)
    bx1, by1, bx2, by2 = (column.contiguous() for column in b.unsqueeze(-3).unbind(-1))  # each (..., 1, P)
    width = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)
    height = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)
    return width.mul_(height)


@torch.no_grad()
def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union (..., M, P) in [0, 1] of boxes a (..., M, 4) and b (..., P, 4)."""
    common = box_intersection(a, b)
    union = (box_area(a).unsqueeze(-1) + box_area(b).unsqueeze(-2)).sub_(common)
    return common.div_(union.clamp_(min=EMPTY))


@torch.no_grad()
def box_ioa(a: Tensor, b: Tensor) -> Tensor:
    """Share of each b (..., P, 4) that lies inside each a (..., M, 4): (..., M, P) in [0, 1]."""
    return box_intersection(a, b).div_(box_area(b).unsqueeze(-2).clamp(min=EMPTY))


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (..., 2) and widths and heights (..., 2)."""
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * size, size


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Deltas (..., 4) that lead from anchors (..., 4) to boxes (..., 4); both must have an area.

    ((gx - ax) / aw, (gy - ay) / ah, ln(gw / aw), ln(gh / ah)) over DELTA_STDS, g the box, a the anchor.
    """
    centre, size = _centre_size(boxes)
    anchor_centre, anchor_size = _centre_size(anchors)
    deltas = torch.cat([(centre - anchor_centre) / anchor_size, (size / anchor_size).log()], dim=-1)
    return deltas / deltas.new_tensor(DELTA_STDS)


def decode_deltas(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (..., 4) from deltas (..., 4) and anchors (..., 4): the inverse of `encode`."""
    deltas = deltas * deltas.new_tensor(DELTA_STDS)
    anchor_centre, anchor_size = _centre_size(anchors)
    centre = anchor_centre + deltas[..., :2] * anchor_size
    half_size = 0.5 * anchor_size * deltas[..., 2:].clamp(max=MAX_LOG_SCALE).exp()
    return torch.cat([centre - half_size, centre + half_size], dim=-1)


def clip_boxes(boxes: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) cut to the picture of that height and width."""
    height, width = image_hw
    return boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))


def nms_class_wise(boxes: Tensor, scores: Tensor, labels: Tensor, max_iou: float) -> Tensor:
    """Indices int64 (k,) that survive non-maximum suppression within each class, best score first.

    From boxes (n, 4), scores (n,), labels int64 (n,). A box falls to a better one of its class if their IoU
    is above `max_iou`. All classes go in one call: each is moved to a place of its own, where it can't meet
    the others; in float64, since far from the origin float32 has too few digits left for the overlap.
    """
    if not len(boxes):
        return labels.new_zeros(0)
    places = labels.double() * (boxes.max() - boxes.min() + 1).double()
    return nms(boxes.double() + places[:, None], scores.double(), max_iou)
