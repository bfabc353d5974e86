"""Augmentation of training images in GaFi's published order: rotation, flip, zoom, crop, erasing.

Two halves: `draw` makes every random number of a batch from one key, `augment_with` applies them and is a
closed form. Images are (n,H,W,C) float32; rotation and zoom sample outside the image as `fill`, the crop
always as 0, which is mid-grey in [-1,1]: the published results were made so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from experiments.gafi.nn.backend import Tensor, fold_in, normal, uniform

MAX_ANGLE = math.radians(10)
ZOOM = (0.8, 1.2)
CROP_PAD = 4  # pixels, whatever the image size
ERASE = (0.2, 0.5)  # side of the erased rectangle over the image's


class Draws(NamedTuple):
    """The random numbers of a batch of n; None for what is switched off."""

    angle: Tensor | None = None  # (n,) float32, radians
    flip: Tensor | None = None  # (n,) bool
    zoom: Tensor | None = None  # (n,) float32; above 1 shows more than the image
    crop: Tensor | None = None  # (n,2) int32, row and column in 0..2 CROP_PAD
    erase_size: Tensor | None = None  # (n,2) int32, height and width in pixels
    erase_center: Tensor | None = None  # (n,2) int32, row and column
    noise: Tensor | None = None  # (n,H,W,C) float32, N(0,1)


def augment(images: Tensor, key: Tensor, settings: Any, *, fill: float, flip: bool = False) -> Tensor:
    """(n,H,W,C) float32 augmented as `settings` (section AUG) ask; a function of the key alone.

    fill: black, -1 or 0 without normalisation. flip: flip even where AUG.random_flip is off
    (DATA.horizontal_flip).
    """
    return augment_with(images, draw(key, images.shape, settings, flip=flip), fill=fill)


def draw(key: Tensor, shape: Sequence[int], settings: Any, *, flip: bool = False) -> Draws:
    """The random numbers for a batch of `shape` (n,H,W,C); key: two int32. Each kind has a key of its own."""
    num, height, width, _ = shape
    angle = uniform(fold_in(key, 1), (num,), -MAX_ANGLE, MAX_ANGLE) if settings.random_rotation else None
    flips = uniform(fold_in(key, 2), (num,)) < 0.5 if settings.random_flip or flip else None
    zoom = uniform(fold_in(key, 3), (num,), *ZOOM) if settings.random_zoom else None
    crop = _integers(fold_in(key, 4), (num, 2), 2 * CROP_PAD + 1) if settings.random_crop else None
    drawn = Draws(angle, flips, zoom, crop)
    if not settings.random_erasing:
        return drawn
    sides = ops.convert_to_tensor([height, width], "float32")
    share = uniform(fold_in(key, 5), (num, 2), *ERASE)
    return drawn._replace(
        erase_size=ops.cast(ops.ceil(share * sides), "int32"),
        erase_center=_integers(fold_in(key, 6), (num, 2), [height, width]),
        noise=normal(fold_in(key, 7), shape),
    )


def augment_with(images: Tensor, draws: Draws, *, fill: float) -> Tensor:
    """Apply given draws, in the fixed order; what is None is left out."""
    if draws.angle is not None:
        images = rotate(images, draws.angle, fill=fill)
    if draws.flip is not None:
        images = ops.where(draws.flip[:, None, None, None], images[:, :, ::-1], images)
    if draws.zoom is not None:
        images = zoom(images, draws.zoom, fill=fill)
    if draws.crop is not None:
        images = crop(images, draws.crop)
    if draws.noise is not None:
        images = erase(images, draws.erase_size, draws.erase_center, draws.noise)
    return images


def rotate(images: Tensor, angle: Tensor, *, fill: float) -> Tensor:
    """Turn by `angle` (n,) around the middle, bilinear; a neighbour outside the image counts as `fill`."""
    _, height, width, _ = images.shape
    cos, sin = ops.cos(angle)[:, None, None], ops.sin(angle)[:, None, None]
    row, column = _from_middle(height)[:, None], _from_middle(width)[None, :]
    source_row = sin * column + cos * row + (height - 1) / 2
    source_column = cos * column - sin * row + (width - 1) / 2
    top, left = ops.floor(source_row), ops.floor(source_column)
    down, right = (source_row - top)[..., None], (source_column - left)[..., None]
    top, left = ops.cast(top, "int32"), ops.cast(left, "int32")
    upper = (1 - right) * _pick(images, top, left, fill) + right * _pick(images, top, left + 1, fill)
    lower = (1 - right) * _pick(images, top + 1, left, fill) + right * _pick(images, top + 1, left + 1, fill)
    return (1 - down) * upper + down * lower


def zoom(images: Tensor, factor: Tensor, *, fill: float) -> Tensor:
    """Scale both axes by 1/`factor` (n,) around the middle, nearest pixel; outside the image: `fill`."""
    num, height, width, _ = images.shape
    row = factor[:, None] * _from_middle(height) + (height - 1) / 2
    column = factor[:, None] * _from_middle(width) + (width - 1) / 2
    row, column = ops.cast(ops.floor(row + 0.5), "int32"), ops.cast(ops.floor(column + 0.5), "int32")
    full = (num, height, width)
    row, column = ops.broadcast_to(row[:, :, None], full), ops.broadcast_to(column[:, None, :], full)
    return _pick(images, row, column, fill)


def crop(images: Tensor, corner: Tensor) -> Tensor:
    """The window of the image's own size at `corner` (n,2) of the image inside a border of CROP_PAD zeros."""
    num, height, width, channels = images.shape
    pad = (CROP_PAD, CROP_PAD)
    padded = ops.pad(images, ((0, 0), pad, pad, (0, 0)))
    row = ops.arange(num)[:, None] * (height + 2 * CROP_PAD) + corner[:, :1] + ops.arange(height)
    column = corner[:, 1:] + ops.arange(width)
    index = row[:, :, None] * (width + 2 * CROP_PAD) + column[:, None, :]
    return ops.take(ops.reshape(padded, (-1, channels)), index, axis=0)


def erase(images: Tensor, size: Tensor, center: Tensor, noise: Tensor) -> Tensor:
    """Replace a rectangle of `size` (n,2) around `center` (n,2), cut at the border, by noise.

    The noise (n,H,W,C) is stretched so that its least and greatest value are those of its image.
    """
    _, height, width, _ = images.shape
    inside = (
        _in_range(height, center[:, 0], size[:, 0])[:, :, None]
        & _in_range(width, center[:, 1], size[:, 1])[:, None, :]
    )
    axes = (1, 2, 3)
    low, high = ops.min(images, axes, keepdims=True), ops.max(images, axes, keepdims=True)
    least, greatest = ops.min(noise, axes, keepdims=True), ops.max(noise, axes, keepdims=True)
    stretched = (noise - least) * ((high - low) / (greatest - least)) + low
    return ops.where(inside[..., None], ops.clip(stretched, low, high), images)


def _in_range(length: int, center: Tensor, size: Tensor) -> Tensor:
    """(n,length) bool: the `size` pixels from center - size/2 on, rounded up."""
    offset = 2 * (ops.arange(length) - center[:, None])
    return (offset >= -size[:, None]) & (offset < size[:, None])


def _integers(key: Tensor, shape: Sequence[int], end: int | Sequence[int]) -> Tensor:
    """Int32 in 0..end-1. A float32 below 1 times a small number never rounds up to it by the cast."""
    end = ops.convert_to_tensor(end, "float32")
    return ops.cast(ops.minimum(ops.floor(uniform(key, shape) * end), end - 1), "int32")


def _from_middle(length: int) -> Tensor:
    return ops.arange(length, dtype="float32") - (length - 1) / 2


def _pick(images: Tensor, row: Tensor, column: Tensor, fill: float) -> Tensor:
    """Pixels at `row`, `column` (n,H,W) int32 of each image; outside: `fill`."""
    num, height, width, channels = images.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = ops.clip(row, 0, height - 1), ops.clip(column, 0, width - 1)
    index = (ops.arange(num)[:, None, None] * height + row) * width + column
    return ops.where(inside[..., None], ops.take(ops.reshape(images, (-1, channels)), index, axis=0), fill)
