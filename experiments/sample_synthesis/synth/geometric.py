"""Geometric augmentation as one composed projective map, the same for an object and its mask.

Three operators in random order (Sample synthesis, augmentation): horizontal flip, crop of each side and
resizing back, affine. The published procedure resamples after each; here their matrices are multiplied and
the picture is resampled once. What a crop has cut off stays cut off when the affine operator comes later.
Coordinates are continuous: the picture covers [0, w] x [0, h], so that scaling, mirroring and cutting need no
half pixels; `warp` changes to OpenCV's pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FLIP_PROB = 0.5
CROP = (0.0, 0.1)  # of the side, each side by itself
SCALE = (0.8, 1.2)  # of x and y independently
TRANSLATE = (-0.2, 0.2)  # of the side, x and y independently
ROTATE = (-45.0, 45.0)  # degrees
SHEAR = (-8.0, 8.0)  # degrees, along x
HALF = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
HALF_BACK = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Geometry:
    """What is done to a picture; it keeps its size."""

    matrix: np.ndarray  # float64 (3, 3): from points of the picture to those of its augmented form
    visible: tuple[float, float, float, float]  # left, top, right, bottom in [0, 1] of what can still be seen


def draw_geometry(rng: np.random.Generator, width: float, height: float) -> Geometry:
    """Random operators with the published ranges, for a picture of this size in pixels."""
    order = rng.permutation(3).tolist()
    u = rng.random(11)
    mirrors = u[0] < FLIP_PROB
    cut = _within(CROP, u[1:5])
    steps = (
        flip(width) if mirrors else np.eye(3),
        crop_and_resize(*cut, width=width, height=height),
        affine(
            _within(SCALE, u[5:7]), _within(TRANSLATE, u[7:9]), float(_within(ROTATE, u[9])),
            float(_within(SHEAR, u[10])), width=width, height=height,
        ),
    )  # fmt: skip
    matrix = steps[order[2]] @ steps[order[1]] @ steps[order[0]]
    if order.index(1) > order.index(2):
        return Geometry(matrix, (0.0, 0.0, 1.0, 1.0))  # what the crop cuts off is outside the result anyway
    left, top, right, bottom = cut.tolist()
    if mirrors and order.index(0) < order.index(1):
        left, right = right, left  # sides of the picture before it was mirrored
    return Geometry(matrix, (left, top, 1 - right, 1 - bottom))


def flip(width: float) -> np.ndarray:
    """Mirror left and right."""
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def crop_and_resize(
    left: float, top: float, right: float, bottom: float, *, width: float, height: float
) -> np.ndarray:
    """Cut these shares off the sides, enlarge the rest to the whole."""
    x, y = 1 / (1 - left - right), 1 / (1 - top - bottom)
    return np.array([[x, 0.0, -left * width * x], [0.0, y, -top * height * y], [0.0, 0.0, 1.0]])


def affine(
    scale: np.ndarray, translate: np.ndarray, rotate: float, shear: float, *, width: float, height: float
) -> np.ndarray:
    """Scale, shear along x, rotate about the centre, then move by shares of the sides. Angles in degrees."""
    turn, lean = np.deg2rad(rotate), np.deg2rad(rotate + shear)
    linear = np.array(
        [
            [scale[0] * np.cos(turn), -scale[1] * np.sin(lean)],
            [scale[0] * np.sin(turn), scale[1] * np.cos(lean)],
        ]
    )
    centre, size = np.array([width, height]) / 2, np.array([width, height])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = centre + translate * size - linear @ centre
    return matrix


def resize(from_wh: tuple[float, float], to_wh: tuple[float, float]) -> np.ndarray:
    """Stretch a picture of one size to another."""
    return np.diag([to_wh[0] / from_wh[0], to_wh[1] / from_wh[1], 1.0])


def warp(
    picture: np.ndarray,
    matrix: np.ndarray,
    size_wh: tuple[int, int],
    *,
    visible: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    border: int = cv2.BORDER_CONSTANT,
) -> np.ndarray:
    """Move a picture (h, w) or (h, w, 3) by a map of its continuous coordinates; bilinear, 0 outside.

    `size_wh`: of the result. `visible`: the part of the picture that is moved, to whole pixels, as in
    Geometry. `border`: how OpenCV goes on outside that part.
    """
    high, wide = picture.shape[:2]
    left, top = round(visible[0] * wide), round(visible[1] * high)
    part = picture[top : round(visible[3] * high), left : round(visible[2] * wide)]
    to_centres = HALF_BACK @ matrix @ HALF
    to_centres[:, 2] += to_centres[:, :2] @ (left, top)
    return cv2.warpAffine(
        part, to_centres[:2], size_wh, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=0
    )


def _within(limits: tuple[float, float], u: np.ndarray) -> np.ndarray:
    return limits[0] + (limits[1] - limits[0]) * u
