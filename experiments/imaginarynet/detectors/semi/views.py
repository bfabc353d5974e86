"""What a network sees of a picture in training: a weak view, and a strong one with the same geometry.

Weak: a random shorter side and a flip. Strong: the weak view with its colours changed, blurred, and with
patches of noise (Unbiased Teacher, published code). So a box found in one view is right in the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter
from torchvision.transforms import functional as tvf

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors.data.records import Boxed, Picture, read_picture

JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}  # factors in 1 - x .. 1 + x
HUE = 0.1  # turns, to either side
# Probability, range of the share of the picture's area, range of height over width.
PATCHES = ((0.7, (0.05, 0.2), (0.3, 3.3)), (0.5, (0.02, 0.2), (0.1, 6.0)), (0.3, (0.02, 0.2), (0.05, 8.0)))


@dataclass(frozen=True, eq=False)
class View:
    """A picture as a network gets it."""

    id: int  # of the record
    pixels: np.ndarray  # uint8 (h, w, 3), RGB
    boxes: np.ndarray  # float32 (n, 4): x1, y1, x2, y2 in pixels of the view; none where nothing is known
    labels: np.ndarray  # int64 (n,)
    image_labels: tuple[int, ...] | None = None  # classes known to be the only ones in it; None: not known


def resized_shape(height: int, width: int, *, side: int, max_side: int) -> tuple[int, int]:
    """(height, width) with the shorter side `side`, unless the longer one would exceed `max_side`."""
    scale = min(side / min(height, width), max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(pixels: np.ndarray, *, side: int, max_side: int) -> np.ndarray:
    """uint8 (h, w, 3) of any size to `resized_shape`, bilinear with the support that shrinking needs."""
    height, width = resized_shape(*pixels.shape[:2], side=side, max_side=max_side)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def weak_view(picture: Picture, settings: SemiConfig, rng: np.random.Generator) -> View:
    """The picture with a side of `settings.sides`, flipped half the time. BadInput: it does not decode."""
    stored = read_picture(picture.file)
    pixels = resize(stored, side=int(rng.choice(settings.sides)), max_side=settings.max_side)
    is_boxed = isinstance(picture, Boxed)
    boxes = picture.boxes.copy() if is_boxed else np.zeros((0, 4), np.float32)
    labels = picture.labels if is_boxed else np.zeros(0, np.int64)
    height, width = pixels.shape[:2]
    boxes *= np.tile(np.float32([width / stored.shape[1], height / stored.shape[0]]), 2)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return View(picture.id, np.ascontiguousarray(pixels), boxes, labels)


def strong_view(view: View, rng: np.random.Generator) -> View:
    """The same boxes over changed pixels."""
    picture = Image.fromarray(view.pixels)
    if rng.random() < 0.8:
        picture = jitter_colours(picture, rng)
    if rng.random() < 0.2:
        picture = picture.convert("L").convert("RGB")
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.1, 2.0)))
    return replace(view, pixels=erase_patches(np.array(picture), rng))


def jitter_colours(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brightness, contrast, saturation and hue by random amounts, in random order."""
    for which in rng.permutation(4):
        if which == 3:
            picture = tvf.adjust_hue(picture, rng.uniform(-HUE, HUE))
            continue
        name, spread = list(JITTER.items())[which]
        picture = getattr(tvf, f"adjust_{name}")(picture, rng.uniform(1 - spread, 1 + spread))
    return picture


def erase_patches(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to three patches of uniform noise, in place; uint8 (h, w, 3)."""
    height, width = pixels.shape[:2]
    for probability, shares, ratios in PATCHES:
        if rng.random() >= probability:
            continue
        for _ in range(10):  # tries until the patch fits, as torchvision's RandomErasing has it
            area = rng.uniform(*shares) * height * width
            ratio = np.exp(rng.uniform(*np.log(ratios)))
            tall, wide = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
            if 0 < tall < height and 0 < wide < width:
                top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
                patch = rng.integers(0, 256, (tall, wide, 3), dtype=np.uint8)
                pixels[top : top + tall, left : left + wide] = patch
                break
    return pixels
