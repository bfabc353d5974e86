"""Anchors: the boxes that the network scores, the same few shapes around every cell of the feature map.

Their order is the contract of the whole detector: **row, column, shape**, so that anchor
`(row * columns + column) * A + shape` belongs to logit number `shape` of that cell (model.flatten_head).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from experiments.dense_detector.presets import AnchorShapes
from suite.errors import BadInput

KMEANS_ROUNDS = 100  # k-means on IoU settles in about ten; the mean is no exact minimiser, so it may cycle


def anchor_shapes(anchors: AnchorShapes, image_hw: tuple[int, int]) -> Tensor:
    """Widths and heights float32 (A, 2) in pixels, ratio by ratio, each with all sizes.

    Index `ratio * num_sizes + size`; w = s / sqrt(r), h = s sqrt(r), hence area s^2 and h / w = r.
    """
    sizes = torch.tensor(anchors.sizes, dtype=torch.float64)
    if anchors.unit == "width":
        sizes = sizes * image_hw[1]
    root = torch.tensor(anchors.ratios, dtype=torch.float64).sqrt()[:, None]  # (ratios, 1)
    return torch.stack([sizes / root, sizes * root], dim=-1).reshape(-1, 2).float()


def grid_anchors(
    feature_hw: tuple[int, int],
    image_hw: tuple[int, int],
    shapes: Tensor,
    *,
    grid: Literal["cell", "published"] = "cell",
) -> Tensor:
    """Anchors float32 (rows * columns * A, 4) as x1, y1, x2, y2 in pixels of the resized picture.

    Centred at ((column + 0.5) W / columns, (row + 0.5) H / rows), so that they lie evenly over the picture;
    not clipped to it. `published`: centred on the upper left corner of each cell and with corners rounded to
    whole pixels, hence all half a cell too far up and left.
    """
    (rows, columns), (height, width) = feature_hw, image_hw
    offset = 0.5 if grid == "cell" else 0.0
    y = (torch.arange(rows) + offset) * (height / rows)
    x = (torch.arange(columns) + offset) * (width / columns)
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (rows, columns, 2) as x, y
    centres, half = centres[:, :, None], shapes / 2  # (rows, columns, 1, 2), (A, 2)
    anchors = torch.cat([centres - half, centres + half], dim=-1)  # (rows, columns, A, 4)
    return (anchors if grid == "cell" else anchors.round()).reshape(-1, 4)


def kmeans_shapes(sizes_wh: np.ndarray, num_shapes: int, rng: np.random.Generator) -> Tensor:
    """Widths and heights float32 (A, 2) that cover the training boxes best, smallest area first.

    `sizes_wh` (n, 2): widths and heights of the training boxes in pixels of the resized picture. k-means with
    distance 1 - IoU of boxes on a common centre (YOLOv2, section 2): Euclidean distance would spend all
    shapes on the large boxes. Starts as k-means++ does. Raises BadInput for fewer distinct boxes than shapes.
    """
    sizes = np.asarray(sizes_wh, dtype=np.float64).reshape(-1, 2)
    if len(np.unique(sizes, axis=0)) < num_shapes:
        raise BadInput(
            f"{len(np.unique(sizes, axis=0))} distinct box sizes for {num_shapes} anchor shapes",
            fix="ask for fewer shapes or use those of a preset",
        )
    centres = _spread_out(sizes, num_shapes, rng)
    nearest = None
    for _ in range(KMEANS_ROUNDS):
        previous, nearest = nearest, _centred_iou(sizes, centres).argmax(axis=1)
        if previous is not None and np.array_equal(nearest, previous):
            break
        for k in np.unique(nearest):  # a shape that no box is nearest to stays where it is
            centres[k] = sizes[nearest == k].mean(axis=0)
    return torch.from_numpy(centres[np.argsort(centres.prod(axis=1), kind="stable")]).float()


def _spread_out(sizes: np.ndarray, num_shapes: int, rng: np.random.Generator) -> np.ndarray:
    """First centres (A, 2) of k-means++: each drawn in proportion to its squared distance to those before."""
    chosen = [sizes[rng.integers(len(sizes))]]
    while len(chosen) < num_shapes:
        distance = 1 - _centred_iou(sizes, np.array(chosen)).max(axis=1)
        weight = np.maximum(distance, 0) ** 2
        chosen.append(sizes[rng.choice(len(sizes), p=weight / weight.sum())])
    return np.array(chosen)


def _centred_iou(a_wh: np.ndarray, b_wh: np.ndarray) -> np.ndarray:
    """IoU (n, k) of boxes of sizes (n, 2) and (k, 2) on one centre."""
    common = np.minimum(a_wh[:, None], b_wh[None]).prod(axis=2)
    return common / (a_wh.prod(axis=1)[:, None] + b_wh.prod(axis=1)[None] - common)
