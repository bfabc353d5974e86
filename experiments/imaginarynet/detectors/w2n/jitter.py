"""The jitter test: how far a detector moves a box that is shifted a little before it is regressed.

A box that it puts back to one place whatever the shift is trusted for box regression (published code of W2N:
10 copies shifted by up to 6 % of width and height, the sum of the four standard deviations over twice the
sum of width and height, trusted below 0.02). The published code tests the first picture of a batch alone;
here every picture is tested.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Regress = Callable[[Tensor, Tensor], Tensor]  # boxes (m, 4), labels (m,) -> boxes (m, 4) of one picture


def shifts(count: int, *, copies: int, share: float, generator: torch.Generator | None = None) -> Tensor:
    """float32 (count, copies, 2): uniform in [-share, share], of a box's width and of its height.

    generator: on the CPU, as the result; None: torch's global one, whose state the caller has set.
    """
    return (torch.rand((count, copies, 2), generator=generator) * 2 - 1) * share


def shifted(boxes: Tensor, by: Tensor, size: tuple[float, float]) -> Tensor:
    """float (n, copies, 4): the boxes (n, 4) moved by `by` (n, copies, 2), clipped to size (width, height).

    Both sides of a box share the shift of an axis: before clipping it keeps its width and height.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    moved = boxes[:, None] + (by * sides[:, None]).repeat(1, 1, 2)
    limit = boxes.new_tensor([*size, *size])
    return torch.minimum(moved.clamp(min=0), limit)


def spread(copies: Tensor, boxes: Tensor) -> Tensor:
    """float (n,): of regressed copies (n, m, 4) around boxes (n, 4): sum of four std / (2 (width + height)).

    The standard deviation is that of a sample (divisor m - 1). A box without width and height has none: inf.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).sum(1)
    return torch.where(sides > 0, copies.std(1).sum(1) / (2 * sides), torch.inf)


def box_spread(
    boxes: Tensor, labels: Tensor, regress: Regress, *, by: Tensor, size: tuple[float, float]
) -> Tensor:
    """float (n,): `spread` of the boxes (n, 4) of one picture under the shifts `by` (n, copies, 2)."""
    if not len(boxes):
        return boxes.new_zeros(0)
    copies = by.shape[1]
    moved = shifted(boxes, by, size).reshape(-1, 4)
    put = regress(moved, labels.repeat_interleave(copies))
    return spread(put.reshape(-1, copies, 4), boxes)
