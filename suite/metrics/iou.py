"""Box arithmetic on half-open corners (x1, y1, x2, y2) in pixels: the area is (x2 - x1)(y2 - y1)."""

from __future__ import annotations

import numpy as np


def xywh_to_xyxy(boxes: np.ndarray) -> np.ndarray:
    """Corner plus size (N, 4) -> two corners float64 (N, 4)."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes: np.ndarray) -> np.ndarray:
    """Two corners (N, 4) -> corner plus size float64 (N, 4)."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def box_area(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Areas float64 (N,) in pixels^2; 0 for a box turned inside out."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def box_intersection(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Common areas float64 (N, M) of boxes (N, 4) and (M, 4)."""
    a = np.asarray(a_xyxy, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(b_xyxy, dtype=np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.prod(np.maximum(sides, 0), axis=-1)


def box_iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over union float64 (N, M), in [0, 1]; 0 where both boxes are empty."""
    common = box_intersection(a_xyxy, b_xyxy)
    union = box_area(a_xyxy)[:, None] + box_area(b_xyxy)[None, :] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def box_ioa(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over the area of `a`, float64 (N, M): how much of each `a` lies in each `b` (crowd
    regions).
    """
    common = box_intersection(a_xyxy, b_xyxy)
    area = np.broadcast_to(box_area(a_xyxy)[:, None], common.shape)
    return np.divide(common, area, out=np.zeros_like(common), where=area > 0)
