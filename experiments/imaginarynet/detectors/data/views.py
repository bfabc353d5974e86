"""A picture and its boxes as a network sees them: in another size, mirrored, with channels in order.

Training draws one view of a picture, a test takes several; both come from here, so that they agree.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Side = Literal["shortest", "longest"]


def scaled_size(height: int, width: int, *, side: int, which: Side, max_side: int = 0) -> tuple[int, int]:
    """(height, width) where the shortest or longest side is `side` pixels, each at least 1.

    max_side: of the longest side where `which` is shortest; 0: no limit.
    """
    factor = side / (min if which == "shortest" else max)(height, width)
    if which == "shortest" and max_side:
        factor = min(factor, max_side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 in the size (height, width), by Pillow's bilinear filter (smooth where it shrinks)."""
    from PIL import Image

    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def scaled_boxes(boxes: np.ndarray, old: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """float32 (R, 4) boxes x1, y1, x2, y2 of a picture of size `old`, when it has the size `new`."""
    rows, columns = new[0] / old[0], new[1] / old[1]
    return (np.asarray(boxes, np.float64) * (columns, rows, columns, rows)).astype(np.float32)


def mirrored_boxes(boxes: np.ndarray, width: float) -> np.ndarray:
    """float32 (R, 4) boxes of a picture of that width, when left and right are exchanged."""
    boxes = np.asarray(boxes, np.float32)
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def as_channels(picture: np.ndarray, *, order: Literal["bgr", "rgb"], flip: bool = False) -> np.ndarray:
    """uint8 (3, H, W) of an RGB picture (H, W, 3), contiguous, its channels in `order`, mirrored or not."""
    picture = picture[:, ::-1] if flip else picture
    picture = picture[:, :, ::-1] if order == "bgr" else picture
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def distinct(boxes: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of R boxes differ on a grid of `stride` pixels: (kept (U,), back (R,)), both int64.

    kept: the first of each, rising. back: place in `kept` of the one that stands for each box. Corners are
    rounded to whole cells, halves to even (Fast R-CNN, published code: DEDUP_BOXES = 1/16; OICR: 1/8).
    """
    if not len(boxes):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    cells = np.round(np.asarray(boxes, np.float32) / stride).astype(np.int64)
    _, first, group = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[group.reshape(-1)]
