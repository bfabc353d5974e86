"""Photometric augmentation of an object's picture: four operators in random order.

Ranges as published (Sample synthesis, augmentation). Each operator ends in 0..255, as pictures of 8 bits do,
but values are rounded only once, at the end.
"""

from __future__ import annotations

import cv2
import numpy as np

BLUR_PROB, BLUR_SIGMA = 0.5, (0.0, 0.5)  # pixels
BLUR_SIDE = 5  # of the kernel: three sigmas and more
BLUR_LEAST = 1e-3  # pixels; a narrower blur changes nothing
CONTRAST, GREY = (0.75, 1.5), 127.0
NOISE_SIGMA, NOISE_PER_CHANNEL_PROB = (0.0, 0.05 * 255), 0.5
MULTIPLY, MULTIPLY_PER_CHANNEL_PROB = (0.8, 1.2), 0.2


def augment(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Another picture of the same object, uint8 (h, w, 3) from uint8 (h, w, 3)."""
    x = picture.astype(np.float32)
    for index in rng.permutation(len(OPERATORS)):
        x = OPERATORS[index](rng, x)
    return np.rint(x, out=x).astype(np.uint8)


def blur(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Gaussian, with probability 0.5."""
    chosen, sigma = rng.random() < BLUR_PROB, rng.uniform(*BLUR_SIGMA)
    if not chosen or sigma < BLUR_LEAST:
        return x
    return cv2.GaussianBlur(x, (BLUR_SIDE, BLUR_SIDE), sigma, borderType=cv2.BORDER_REFLECT_101)


def contrast(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Linear, about mid-grey."""
    alpha = np.float32(rng.uniform(*CONTRAST))
    x *= alpha
    x += GREY * (1 - alpha)
    return _clip(x)


def noise(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Additive and Gaussian; in half of the cases one value per pixel for all channels."""
    sigma, per_channel = np.float32(rng.uniform(*NOISE_SIGMA)), rng.random() < NOISE_PER_CHANNEL_PROB
    drawn = rng.standard_normal(x.shape if per_channel else (*x.shape[:2], 1), np.float32)
    drawn *= sigma
    x += drawn
    return _clip(x)


def multiply(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Brightness; with probability 0.2 each channel by itself."""
    per_channel = rng.random() < MULTIPLY_PER_CHANNEL_PROB
    x *= rng.uniform(*MULTIPLY, x.shape[2] if per_channel else 1).astype(np.float32)
    return _clip(x)


def _clip(x: np.ndarray) -> np.ndarray:
    return np.clip(x, 0, 255, out=x)


OPERATORS = (blur, contrast, noise, multiply)
