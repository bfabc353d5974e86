"""The published way to make a synthetic sample, for benchmarks/synthesis.py: one image, one object, one mask
call at a time.

Written anew from its description. QR symbols by the library at 10 pixels a module; the mask network is called
with one picture; augmentation at the picture's resolution, operator by operator, each resampling picture and
mask; layouts one after the other, value by value. What the published code does besides, and this does not:
reading its pictures and backgrounds from files.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from experiments.sample_synthesis.config_sections import SynthesisConfig

Drawer = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]  # picture uint8, mask float 0..1


def make_sample(
    rng: np.random.Generator,
    config: SynthesisConfig,
    draw: Drawer,
    background: np.ndarray,
    *,
    threshold: float,
) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """An image, uint8 (S, S, 3), and its boxes, xyxy with inclusive ends."""
    image, boxes = background.copy(), []
    for x1, y1, x2, y2 in make_layout(rng, config):
        patch = image[y1:y2, x1:x2].astype(float)
        picture, mask = draw(rng)
        picture = photometric(rng, picture)
        picture, mask = geometric(rng, picture, mask)
        rows, columns = (
            np.where((mask > threshold).any(axis=1))[0],
            np.where((mask > threshold).any(axis=0))[0],
        )
        if not len(rows):
            continue
        across, down = (x2 - x1) / mask.shape[1], (y2 - y1) / mask.shape[0]
        picture, mask = (
            cv2.resize(picture, (x2 - x1, y2 - y1)),
            cv2.resize(mask, (x2 - x1, y2 - y1))[..., None],
        )
        image[y1:y2, x1:x2] = (patch * (1 - mask) + picture * mask).astype(np.uint8)
        ends = columns[0] * across, rows[0] * down, columns[-1] * across, rows[-1] * down
        boxes.append((int(ends[0]) + x1, int(ends[1]) + y1, int(ends[2]) + x1, int(ends[3]) + y1))
    return image, boxes


def make_layout(rng: np.random.Generator, config: SynthesisConfig) -> list[tuple[int, int, int, int]]:
    """Slots xyxy, by rejection of whole layouts."""
    while True:
        number = rng.integers(config.min_objects, config.max_objects + 1)
        for _ in range(config.max_tries):
            slots = [draw_slot(rng, config) for _ in range(number)]
            if not any(clash(a, b) for place, a in enumerate(slots) for b in slots[:place]):
                return slots


def draw_slot(rng: np.random.Generator, config: SynthesisConfig) -> tuple[int, int, int, int]:
    """One slot, wherever."""
    size = config.image_size
    scale = rng.integers(int(config.min_scale * size), int(config.max_scale * size))
    aspect = rng.uniform(config.min_aspect_ratio, config.max_aspect_ratio)
    width, height = min(size, int(scale * aspect**0.5)), min(size, int(scale / aspect**0.5))
    x, y = int(rng.integers(0, size - width + 1)), int(rng.integers(0, size - height + 1))
    return x, y, x + width, y + height


def clash(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    """Whether two slots intersect or touch."""
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def draw_qr(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A symbol of 10 pixels a module as the library makes it, and the rectangle of its dark modules."""
    import segno

    text = "".join(chr(rng.integers(97, 123)) for _ in range(rng.integers(1, 101)))
    wanted = {"error": "m", "mode": "byte", "boost_error": False}
    try:
        code = segno.make(text, version=int(rng.integers(1, 10)), **wanted)
    except segno.DataOverflowError:
        code = segno.make(text, micro=False, **wanted)
    dark = np.array([list(row) for row in code.matrix_iter(scale=10, border=4)], np.uint8)
    picture = np.repeat((255 * (1 - dark))[..., None], 3, axis=2).astype(np.uint8)
    rows, columns = np.where(dark.any(axis=1))[0], np.where(dark.any(axis=0))[0]
    mask = np.zeros(dark.shape)
    mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 1
    return picture, mask


def network_masks(logit: Callable, draw: Callable[[np.random.Generator], np.ndarray]) -> Drawer:
    """Draws pictures and calls the mask network, a function of float32 tensors (1, 3, S, S), with each
    alone.
    """
    import torch

    def drawer(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        picture = draw(rng)
        with torch.no_grad():
            x = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)
            mask = torch.sigmoid(logit(x))[0, 0].numpy()
        return picture, mask.astype(float)

    return drawer


# --- augmentation ---


def photometric(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Four operators in random order, uint8 in between."""
    for operator in rng.permutation([0, 1, 2, 3]):
        x = picture.astype(float)
        if operator == 0 and rng.random() < 0.5:
            x = cv2.GaussianBlur(x, (5, 5), max(rng.uniform(0, 0.5), 1e-3))
        elif operator == 1:
            x = 127 + rng.uniform(0.75, 1.5) * (x - 127)
        elif operator == 2:
            channels = 3 if rng.random() < 0.5 else 1
            x = x + rng.normal(0, rng.uniform(0, 0.05 * 255), (*x.shape[:2], channels))
        elif operator == 3:
            x = x * rng.uniform(0.8, 1.2, 3 if rng.random() < 0.2 else 1)
        picture = np.clip(np.round(x), 0, 255).astype(np.uint8)
    return picture


def geometric(
    rng: np.random.Generator, picture: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Three operators in random order on both, each resampling."""
    height, width = mask.shape
    for operator in rng.permutation([0, 1, 2]):
        if operator == 0 and rng.random() < 0.5:
            picture, mask = picture[:, ::-1].copy(), mask[:, ::-1].copy()
        elif operator == 1:
            left, top, right, bottom = rng.uniform(0, 0.1, 4)
            inside = (
                slice(int(top * height), height - int(bottom * height)),
                slice(int(left * width), width - int(right * width)),
            )
            picture, mask = (
                cv2.resize(picture[inside], (width, height)),
                cv2.resize(mask[inside], (width, height)),
            )
        elif operator == 2:
            turn, shear = np.deg2rad(rng.uniform(-45, 45)), np.deg2rad(rng.uniform(-8, 8))
            scale, move = rng.uniform(0.8, 1.2, 2), rng.uniform(-0.2, 0.2, 2) * (width, height)
            matrix = np.array(
                [
                    [scale[0] * np.cos(turn), -scale[1] * np.sin(turn + shear), 0],
                    [scale[0] * np.sin(turn), scale[1] * np.cos(turn + shear), 0],
                ]
            )
            centre = np.array([width, height]) / 2
            matrix[:, 2] = centre + move - matrix[:, :2] @ centre
            picture = cv2.warpAffine(picture, matrix, (width, height))
            mask = cv2.warpAffine(mask, matrix, (width, height))
    return picture, mask
