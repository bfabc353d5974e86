"""From bytes to what the networks see.

In the published order: resize the bytes (Lanczos), divide by 255, pad with zeros, bring to [-1, 1], add noise
below one grey level. So padding is black, -1, not the grey of a 0 after scaling.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image

from suite.errors import BadInput

DEQUANTIZE = 1 / 127.5  # one grey level in [-1, 1]; published


class DataSettings(Protocol):
    """What is read of the section DATA."""

    dataset: str
    image_size: int
    normalize: bool
    dequantize: bool
    resize: bool | None
    padding: bool | None


def check_size(side: int, data: DataSettings) -> None:
    """Raises BadInput unless pictures of `side` pixels become pictures of DATA.image_size."""
    if data.resize and data.padding:
        raise BadInput("DATA.resize and DATA.padding exclude each other", fix="set one of them to null")
    if data.padding and data.image_size <= side:
        raise BadInput(
            f"DATA.padding: image_size {data.image_size} is not above {side}",
            fix="raise it, or set padding: null",
        )
    if not data.resize and not data.padding and data.image_size != side:
        raise BadInput(
            f"{data.dataset} has pictures of {side} pixels, DATA.image_size is {data.image_size}",
            fix=f"set resize or padding, or image_size: {side}",
        )


def sized(images: np.ndarray, data: DataSettings) -> np.ndarray:
    """uint8 (N, H, H, C) -> uint8 (N, S, S, C), S = DATA.image_size; padding has the value 0."""
    check_size(images.shape[1], data)
    if data.resize:
        return resized(images, data.image_size)
    return padded(images, data.image_size) if data.padding else images


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 (N, H, H, C) stretched to `side` by Pillow's Lanczos filter, one picture after the other."""
    if images.shape[1] == side:
        return images
    out = np.empty((len(images), side, side, images.shape[3]), np.uint8)
    for image, target in zip(images, out, strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        target[:] = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS)).reshape(target.shape)
    return out


def padded(images: np.ndarray, side: int) -> np.ndarray:
    """(N, H, H, C) with zeros around it; an odd difference has one more at the bottom and on the right."""
    before = (side - images.shape[1]) // 2
    after = side - images.shape[1] - before
    return np.pad(images, ((0, 0), (before, after), (before, after), (0, 0)))


def scaled(images: np.ndarray, *, normalize: bool) -> np.ndarray:
    """uint8 (...) -> float32 in [0, 1], or in [-1, 1] if normalize: (x / 255 - 0.5) / 0.5."""
    out = images.astype(np.float32)
    out /= np.float32(255)
    if normalize:
        out -= np.float32(0.5)
        out /= np.float32(0.5)
    return out


def preprocess(
    images: np.ndarray, data: DataSettings, *, noise: np.random.Generator | None = None
) -> np.ndarray:
    """uint8 (N, H, H, C) -> float32 (N, S, S, C).

    noise: for training pictures where DATA.dequantize is set; U(0, 1/127.5) is added once, so that values may
    exceed 1 by that much, as published. Zero pixels before scaling are zero after division by 255, so padding
    bytes equals the published padding of floats.
    """
    out = scaled(sized(images, data), normalize=data.normalize)
    if data.dequantize and noise is not None:
        out += noise.random(out.shape, dtype=np.float32) * np.float32(DEQUANTIZE)
    return out
