"""Sheets of samples: the same latents and labels after every epoch, and their animation at the end.

Five rows, a column per class; ten columns at most, classes then evenly spaced (published code).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from suite.seeds import item_rng

ROWS, MAX_COLUMNS = 5, 10
GAP = 2  # pixels between pictures
SHOWN_SIZE = 64  # pixels a side that small pictures are enlarged to
FRAME_MS = 100  # of the animation (published code)
TITLE_HEIGHT = 14  # pixels; the font is Pillow's own bitmap of 11


def sheet_latents(seed: int, *, num_classes: int, latent_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """(latents (n, latent_dim) float32, labels (n,) int32), row by row; the same for every epoch of a GAN."""
    columns = min(num_classes, MAX_COLUMNS)
    classes = np.linspace(0, num_classes - 1, columns).round().astype(np.int32)
    labels = np.tile(classes, ROWS)
    latents = item_rng(seed, "gafi.gan.sheet", 0).standard_normal((len(labels), latent_dim))
    return latents.astype(np.float32), labels


def draw_sheet(images: np.ndarray, *, normalize: bool, title: str = "") -> Image.Image:
    """The sheet of (n, H, W, C) float pictures, ROWS rows of them; C is 1 or 3.

    normalize: pictures are in [-1, 1], else in [0, 1]. title: written above them.
    """
    unit = (images + 1.0) / 2.0 if normalize else images
    pixels = np.rint(np.clip(unit, 0.0, 1.0) * 255.0).astype(np.uint8)
    factor = max(1, SHOWN_SIZE // pixels.shape[1])
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width, channels = pixels.shape
    columns = count // ROWS
    top = TITLE_HEIGHT if title else 0
    page = np.full(
        (top + ROWS * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), 255, np.uint8
    )
    for place, picture in enumerate(pixels):
        y, x = top + GAP + place // columns * (height + GAP), GAP + place % columns * (width + GAP)
        page[y : y + height, x : x + width] = picture
    sheet = Image.fromarray(page[:, :, 0] if channels == 1 else page)
    if title:
        ImageDraw.Draw(sheet).text((GAP, 1), title, fill=0)
    return sheet


def sheet_path(folder: Path, epoch: int) -> Path:
    """`00001.png` of epoch 1 (published names)."""
    return folder / f"{epoch:05d}.png"


def write_animation(sheets: Sequence[Path], path: Path) -> None:
    """One GIF of the sheets in their order, repeated for ever."""
    frames = []
    for sheet in sheets:
        with Image.open(sheet) as image:
            frames.append(image.copy())
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, optimize=False)
