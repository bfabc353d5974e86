"""A data set as its files hold it: bytes and class numbers, before any split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from suite.errors import BadInput


class Part(NamedTuple):
    """Pictures uint8 (N, H, W, C) and their classes int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class RawDataset:
    """What a reader returns. `rule` names how train and validation are told apart (split.py)."""

    name: str
    train: Part
    val: Part | None  # where the data set brings its own
    test: Part
    class_names: tuple[str, ...]
    rule: str

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def parts(self) -> dict[str, Part]:
        """Those that are there, by name."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


def as_part(images: np.ndarray, labels: np.ndarray, *, num_classes: int, file: Path, what: str) -> Part:
    """Checked arrays of one part.

    images: uint8 (N, H, W) or (N, H, W, 1 or 3), square. labels: integers (N,) or (N, 1). Raises BadInput
    naming the file and the part.
    """

    def wrong(text: str, fix: str) -> BadInput:
        return BadInput(f"{what}: {text}", file=file, fix=fix)

    if images.dtype != np.uint8:
        raise wrong(f"images are {images.dtype}, not uint8", "store them as bytes 0..255")
    images = images[..., None] if images.ndim == 3 else images
    square = images.ndim == 4 and images.shape[1] == images.shape[2] and images.shape[3] in (1, 3)
    if not square or images.size == 0:
        shape = "x".join(map(str, images.shape))
        raise wrong(f"images are {shape}", "store them as N x H x H or N x H x H x 1 or 3, N >= 1")
    if labels.dtype.kind not in "iu":
        raise wrong(f"labels are {labels.dtype}, not integers", f"store class numbers 0..{num_classes - 1}")
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != images.shape[:1]:
        shape = "x".join(map(str, labels.shape))
        raise wrong(f"{len(images)} images, but labels are {shape}", "store one class number for each image")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise wrong(f"labels go from {low} to {high}", f"class numbers are 0..{num_classes - 1}")
    return Part(np.ascontiguousarray(images), labels.astype(np.int64))


def check_same_shape(raw: RawDataset, file: Path) -> RawDataset:
    """`raw` itself. Raises BadInput if its parts have pictures of different sizes."""
    shapes = {part.images.shape[1:] for part in raw.parts.values()}
    if len(shapes) > 1:
        found = " and ".join(sorted("x".join(map(str, shape)) for shape in shapes))
        raise BadInput(f"images of different sizes: {found}", file=file, fix="bring all to one size")
    return raw
