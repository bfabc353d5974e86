"""Anchor boxes: three shapes in each cell of each tapped feature map.

Published code and section "Detector" of the dissertation: the centre of cell (row i, column j) of an h x w
map is ((j + 0.5) W / w, (i + 0.5) H / h); for scale s and aspect ratio r the size is (W s sqrt(r),
H s / sqrt(r)), each at most the image's side. Positions are not clipped. Order: level, row, column, aspect
ratio, which is the order in which the heads give their outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.sample_synthesis.detector.archs import ASPECT_RATIOS, check_image_size, find_arch


@dataclass(frozen=True)
class Anchors:
    """The A anchors of a detector at one image size; all in pixels.

    Attributes:
        boxes: float32 (A, 4), corners x1, y1, x2, y2; those at the border reach out of the image.
        centers: float32 (A, 2), x and y.
        sizes: float32 (A, 2), width and height, at most `image_size`.
        image_size: side of the square image.
    """

    boxes: np.ndarray
    centers: np.ndarray
    sizes: np.ndarray
    image_size: int

    def __len__(self) -> int:
        return len(self.boxes)


def make_anchors(arch: str, image_size: int) -> Anchors:
    """The anchors of detector `arch` for square images; BadInput for an unknown detector or a tiny image."""
    found = find_arch(arch)
    check_image_size(image_size)
    levels = [
        level(side, scale, image_size)
        for side, scale in zip(found.grids(image_size), found.scales, strict=True)
    ]
    centers = np.concatenate([centers for centers, _ in levels])
    sizes = np.concatenate([sizes for _, sizes in levels])
    boxes = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    return Anchors(*(array.astype(np.float32) for array in (boxes, centers, sizes)), image_size)


def level(side: int, scale: float, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres and sizes float64 (side * side * 3, 2) of the anchors of one `side` x `side` map."""
    middle = (np.arange(side) + 0.5) * image_size / side
    y, x, ratio = np.meshgrid(middle, middle, np.sqrt(ASPECT_RATIOS), indexing="ij")
    sizes = np.stack([image_size * scale * ratio, image_size * scale / ratio], axis=-1)
    centers = np.stack([x, y], axis=-1)
    return centers.reshape(-1, 2), np.minimum(sizes, image_size).reshape(-1, 2)
