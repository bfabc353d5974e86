"""How many objects pictures have, and how large they are: synthetic and real side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.sample_synthesis.data.types import RealSet
from experiments.sample_synthesis.names import Variant
from experiments.sample_synthesis.synth.stage import read_written

MOST_IMAGES = 5_000  # synthetic images that are counted; their distribution does not change along the stream
COUNTED = 4  # pictures with 1 .. COUNTED objects are counted by themselves, those with more together
PERCENTILES = (10, 50, 90)


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of some pictures."""

    counts: np.ndarray  # int64 (pictures,): objects of each
    sides: np.ndarray  # float64 (boxes,): sqrt(area of the box / area of its picture)


@dataclass(frozen=True)
class Statistics:
    """A line of the table."""

    name: str
    images: int
    boxes: int
    mean: float  # objects per picture
    shares: tuple[float, ...]  # percent of pictures with 1, 2, .., COUNTED and more objects
    percentiles: tuple[float, ...]  # percent of the picture's side, at PERCENTILES


def synthetic_boxes(stage_folder: Path, variant: Variant, *, size: int, num: int) -> Boxes:
    """Of the first MOST_IMAGES of `num` synthetic images with `size` pixels a side."""
    files = read_written(stage_folder, variant, limit=min(MOST_IMAGES, num))
    return _boxes([file.boxes for file in files], [float(size) ** 2] * len(files))


def real_boxes(real: RealSet) -> Boxes:
    """Of all pictures of a split."""
    return _boxes(real.boxes(), [float(image.width) * image.height for image in real.coco.images])


def statistics(name: str, boxes: Boxes) -> Statistics:
    """The line of a set."""
    counts = np.bincount(np.clip(boxes.counts, 0, COUNTED + 1), minlength=COUNTED + 2)[1:]
    low = np.percentile(boxes.sides, PERCENTILES) if len(boxes.sides) else np.full(len(PERCENTILES), np.nan)
    return Statistics(
        name, len(boxes.counts), int(boxes.counts.sum()), float(boxes.counts.mean()),
        tuple(float(100 * count / len(boxes.counts)) for count in counts),
        tuple(float(100 * value) for value in low),
    )  # fmt: skip


def _boxes(boxes: Sequence[np.ndarray], areas: Sequence[float]) -> Boxes:
    sides = [
        np.sqrt(np.prod(np.asarray(own, np.float64)[:, 2:] - own[:, :2], axis=1) / area)
        for own, area in zip(boxes, areas, strict=True)
    ]
    return Boxes(np.array([len(own) for own in boxes]), np.concatenate(sides) if sides else np.zeros(0))
